package auth

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"silod/sip"
)

func TestTrust(t *testing.T) {
	both, relay, none := Rights{Relay: true, AssertIdentity: true}, Rights{Relay: true}, Rights{}
	trust := NewTrust(
		Peer{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}, Rights: relay},
		Peer{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/32")}, Rights: both},
		Peer{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Rights: none},
		Peer{Names: []string{"proxy.example.org", "sip:example.org"}, Rights: both},
	)
	for _, tc := range []struct {
		addr   string
		names  []string
		rights Rights
		ok     bool
	}{
		{"10.9.9.9", nil, relay, true},
		{"::ffff:10.9.9.9", nil, relay, true},
		{"10.0.0.5", nil, both, true},
		{"10.1.2.3", nil, none, true},
		{"2001:db8::1%eth0", nil, relay, true},
		{"192.0.2.1", nil, none, false},
		{"192.0.2.1", []string{"www.example.org", "Proxy.Example.ORG"}, both, true},
		{"10.1.2.3", []string{"sip:example.org"}, both, true},
		{"192.0.2.1", []string{"evil.example.org", ""}, none, false},
	} {
		if r, ok := trust.Rights(netip.MustParseAddr(tc.addr), tc.names...); r != tc.rights || ok != tc.ok {
			t.Errorf("%s %v: got %+v, %v", tc.addr, tc.names, r, ok)
		}
	}
	if _, ok := NewTrust().Rights(here); ok {
		t.Error("an empty list trusts a peer")
	}
	if _, ok := trust.Rights(netip.Addr{}); ok {
		t.Error("the zero address is trusted")
	}
}

func TestAsserted(t *testing.T) {
	asserting := Rights{AssertIdentity: true}
	ids, err := asserting.Asserted([]string{`"Alice" <sip:alice@sip.test>, tel:+15551234`})
	if err != nil || len(ids) != 2 || ids[0].URI.String() != "sip:alice@sip.test" || ids[1].URI.IsSIP() {
		t.Errorf("got %v, %v", ids, err)
	}
	if ids, err := asserting.Asserted([]string{"<sip:alice@sip.test", "x"}); err == nil {
		t.Errorf("accepted as %v", ids)
	}
	if ids, err := (Rights{Relay: true}).Asserted([]string{"<sip:alice@sip.test>"}); len(ids) != 0 || err != nil {
		t.Errorf("an identity is accepted without the right: %v, %v", ids, err)
	}
}

func TestAllowed(t *testing.T) {
	alice, bob, sales := aor(t, "alice"), aor(t, "bob"), aor(t, "sales@second.test")
	down := errors.New("connection refused")
	id := NewIdentity(func(_ context.Context, user, alias sip.AoR) (bool, error) {
		if user == bob {
			return false, down
		}
		return alias == sales, nil
	})
	for _, tc := range []struct {
		id         Identity
		user, from sip.AoR
		ok         bool
		err        error
	}{
		{Identity{}, alice, alice, true, nil},
		{Identity{}, alice, bob, false, nil},
		{Identity{}, alice, sales, false, nil},
		{Identity{}, sip.AoR{}, sip.AoR{}, false, nil},
		{Identity{}, alice, sip.AoR{Domain: realm}, false, nil},
		{Identity{}, alice, sip.AoR{User: "alice", Domain: "other.example"}, false, nil},
		{id, alice, sales, true, nil},
		{id, alice, bob, false, nil},
		{id, bob, bob, true, nil}, // needs no look-up
		{id, bob, sales, false, down},
		{id, sip.AoR{}, sales, false, nil},
	} {
		if ok, err := tc.id.Allowed(context.Background(), tc.user, tc.from); ok != tc.ok || !errors.Is(err, tc.err) {
			t.Errorf("%s as %s: %v, %v", tc.user, tc.from, ok, err)
		}
	}
}
