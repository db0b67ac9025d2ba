package router

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/auth"
	"silod/limit"
	"silod/sip"
	"silod/sip/transaction"
	"silod/sip/transport"
)

// noUsers are the credentials of no user.
type noUsers struct{}

func (noUsers) Lookup(context.Context, sip.AoR) (auth.Secret, error) {
	return auth.Secret{}, auth.ErrUnknownUser
}

// guess has sources banned, for wrong passwords of two users.
func guess(t *testing.T, bans *auth.Bans, sources ...netip.Addr) {
	t.Helper()
	a, err := auth.New(auth.Options{Credentials: noUsers{}, Domains: sip.NewDomains("example.org"), Bans: bans})
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		for _, user := range []string{"alice", "bob"} {
			_, nonce, _ := strings.Cut(a.Challenge("example.org", source)[0], `nonce="`)
			nonce, _, _ = strings.Cut(nonce, `"`)
			res, err := a.Verify(t.Context(), auth.Request{
				Method: "MESSAGE", URI: "sip:bob@example.org", Realm: "example.org", Domain: "example.org", Source: source,
				Credentials: []string{`Digest username="` + user + `", realm="example.org", uri="sip:bob@example.org", algorithm=MD5, nonce="` + nonce +
					`", qop=auth, nc=00000001, cnonce="x", response="` + strings.Repeat("0", 32) + `"`},
			})
			if err != nil || res.Outcome != auth.UnknownUser && res.Outcome != auth.WrongPassword {
				t.Fatal(res, err)
			}
		}
	}
}

// Banned sources and blocked user agents are dropped and counted, but not the requests of
// trusted peers.
func TestDroppedRequests(t *testing.T) {
	banned, trusted, other := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	bans := auth.NewBans(auth.BanOptions{Failures: limit.Rate{N: 1, Per: time.Hour}, For: time.Hour})
	guess(t, bans, banned, trusted)
	agents := auth.NewAgents("scanner")
	r := New(Options{
		Transactions: transaction.New(transaction.Options{Transport: transport.New(transport.Options{})}),
		Guard: NewGuard(GuardOptions{Bans: bans, Agents: agents}, Policy{
			Trust: auth.NewTrust(auth.Peer{Networks: []netip.Prefix{netip.PrefixFrom(trusted, 32)}}),
		}),
	}, Settings{})
	flow := func(a netip.Addr) sip.Flow {
		return sip.Flow{Transport: sip.UDP, Remote: netip.AddrPortFrom(a, 5060)}
	}
	for addr, want := range map[netip.Addr]bool{banned: false, trusted: true, other: true} {
		if got := r.AcceptSource(flow(addr)); got != want {
			t.Errorf("messages of %v are read: %v", addr, got)
		}
	}
	if n := bans.Stats.Refused.Value(); n != 1 {
		t.Errorf("counted %d requests of banned sources", n)
	}
	request := func(agent string) *sip.Request {
		m := &sip.Message{Method: "OPTIONS"}
		if agent != "" {
			m.Headers = []sip.Header{{Name: "User-Agent", Value: agent}}
		}
		return &sip.Request{Message: m}
	}
	for _, tc := range []struct {
		agent string
		addr  netip.Addr
		want  bool
	}{
		{"a scanner", other, false},
		{"a phone", other, true},
		{"", other, true},
		{"a scanner", trusted, true},
	} {
		if got := r.AcceptRequest(request(tc.agent), flow(tc.addr)); got != tc.want {
			t.Errorf("a request of %q from %v is handled: %v", tc.agent, tc.addr, got)
		}
	}
	if n := agents.Blocked.Value(); n != 1 {
		t.Errorf("counted %d requests of blocked agents", n)
	}
}
