package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/mi"
	"silod/sip"
)

// RFC 5626 section 6: a device has one flow per reg-id, all with the same Contact URI, and
// another device may have that URI behind another NAT.
func TestFlowsOfOutbound(t *testing.T) {
	l, _, now := newTable(Settings{})
	const here = "<sip:a@10.0.0.1>"
	for i, tc := range []struct{ contact, want string }{
		{here + `;+sip.instance="<urn:uuid:1>";reg-id=1`, "sip:a@10.0.0.1 60"},
		{here + `;+sip.instance="<urn:uuid:1>";reg-id=2`, "sip:a@10.0.0.1 60, sip:a@10.0.0.1 60"},
		{here + `;+sip.instance="<urn:uuid:2>";reg-id=1`, "sip:a@10.0.0.1 60, sip:a@10.0.0.1 60, sip:a@10.0.0.1 60"},
		{`<sip:a@10.0.0.9>;+sip.instance="<urn:uuid:1>";reg-id=2`, "sip:a@10.0.0.1 60, sip:a@10.0.0.9 60, sip:a@10.0.0.1 60"},
		{`<sip:a@10.0.0.9>;+sip.instance="<urn:uuid:1>";reg-id=2;expires=0`, "sip:a@10.0.0.1 60, sip:a@10.0.0.1 60"},
		// Without reg-id or instance, only the URI counts.
		{here + `;+sip.instance="<urn:uuid:3>"`, "sip:a@10.0.0.1 60, sip:a@10.0.0.1 60"},
		{here + `;+sip.instance="";reg-id=7;expires=0`, "sip:a@10.0.0.1 60"},
		{`<sip:b@h>;+sip.instance="<urn:uuid:1>";reg-id=1,<sip:c@h>`, "400 A REGISTER with reg-id is for one contact"},
		{`<sip:b@h>;+sip.instance="<urn:uuid:4>";reg-id=1,<sip:c@h>;expires=0`, "sip:a@10.0.0.1 60, sip:b@h 60"},
	} {
		bs, err := register(t, l, fmt.Sprint(i), 1, 60, tc.contact)
		got := contacts(bs, *now)
		if err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("REGISTER %d: got %q, want %q", i, got, tc.want)
		}
	}
}

// A device registers again after its binding has expired and before a sweep: the REGISTER
// removes the old row.
func TestExpiredBindingLeavesNoRow(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 60, "<sip:1@h1>")
	*now = now.Add(time.Minute)
	bs, err := register(t, l, "b", 1, 60, "<sip:2@h2>")
	if got := contacts(bs, *now); err != nil || got != "sip:2@h2 60" || len(k.rows) != 1 {
		t.Errorf("got %s, %v, and %d rows", got, err, len(k.rows))
	}
	if l.Expired.Value() != 1 {
		t.Errorf("%d have expired", l.Expired.Value())
	}
	if as := l.flows.take(flowOf("h1")); as != nil {
		t.Errorf("its flow still has %v", as)
	}
}

func TestRefreshIsNotLostWithTheStore(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h1>")
	*now = now.Add(time.Minute)
	if _, err := register(t, l, "a", 2, 600, "<sip:1@h1>"); err != nil {
		t.Fatal(err)
	}
	k.fail = errors.New("database is down")
	l.flush(t.Context())
	k.fail = nil
	l.flush(t.Context())
	for _, b := range k.rows {
		if got := b.Expires.Sub(*now); got != 10*time.Minute {
			t.Errorf("the row ends in %v", got)
		}
	}
}

// The end of a connection removes the bindings over it and no others, even if a proxy has
// very many users on one connection. The index drops users that leave the connection.
func TestManyUsersOnOneFlow(t *testing.T) {
	l, k, now := newTable(Settings{})
	put := func(i int, f sip.Flow, expires int) {
		t.Helper()
		uri, _ := sip.ParseURI(fmt.Sprintf("sip:%d@h", i))
		_, err := carryOut(t, l, &Register{
			AoR: sip.AoR{User: fmt.Sprint(i), Domain: "h"}, Expires: expires, CallID: fmt.Sprint(now.UnixNano(), f), CSeq: 1,
			Contacts: []sip.NameAddr{{URI: uri}}, Flow: func(sip.URI) (sip.Flow, *Error) { return f, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const n = 1000
	for range 3 {
		for i := range n {
			put(i, flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), 600)
		}
		*now = now.Add(time.Second)
	}
	for i := range 10 {
		put(i, flow("tcp:192.0.2.1:5060>203.0.113.2:40000#2"), 600)   // moves
		put(10+i, flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), 0)  // unregisters
		put(20+i, flow("udp:192.0.2.1:5060>203.0.113.1:40000"), 600)  // moves
		put(30+i, flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), 60) // expires
	}
	*now = now.Add(time.Minute)
	l.sweep(t.Context())
	if got := len(l.flows.take(flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"))); got != n-40 {
		t.Errorf("%d are on the connection", got)
	}
	for i := range n {
		l.flows.add(flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), sip.AoR{User: fmt.Sprint(i), Domain: "h"})
	}
	l.FlowClosed(t.Context(), flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"))
	if _, left := l.Counts(); left != 20 || len(k.rows) != 20 {
		t.Errorf("%d bindings and %d rows are left", left, len(k.rows))
	}
	l.FlowClosed(t.Context(), flow("tcp:192.0.2.1:5060>203.0.113.2:40000#2"))
	if _, left := l.Counts(); left != 10 || len(l.flows.owners) != 0 {
		t.Errorf("%d bindings and %d flows are left", left, len(l.flows.owners))
	}
}

func TestRegisterIsBounded(t *testing.T) {
	l, _, now := newTable(Settings{Default: 2 * time.Hour, Max: time.Hour, Min: time.Minute})
	if bs, err := register(t, l, "a", 1, -1, "<sip:1@h>;q=0.00001"); err != nil || contacts(bs, *now) != "sip:1@h 3600" {
		t.Errorf("a default above the maximum: %v, %v", contacts(bs, *now), err)
	} else if v := bs[0].ContactValue(*now); v != "<sip:1@h>;q=0;expires=3600" {
		t.Errorf("listed as %s", v)
	}
	_, err := register(t, l, "a", 2, 60, strings.TrimSuffix(strings.Repeat("<sip:1@h>;expires=0,", 101), ","))
	if err == nil || err.Error() != "400 Too many contacts in one request, 100 are allowed" {
		t.Errorf("101 contacts: %v", err)
	}
	// RFC 3261 section 20.19: up to 2**32-1 seconds.
	unlimited, _, now := newTable(Settings{})
	bs, err := register(t, unlimited, "a", 1, -1, "<sip:1@h>;expires=4294967295")
	if got := contacts(bs, *now); err != nil || got != "sip:1@h 4294967295" {
		t.Errorf("got %s, %v", got, err)
	}
}

// A contact that an administrator adds replaces the same contact and its row, even one
// that was just refreshed. Any number of seconds is in the future.
func TestAddCommand(t *testing.T) {
	l, k, now := newTable(Settings{})
	_, _ = register(t, l, "a", 1, 600, "<sip:1@h>", "<sip:2@h>;expires=60")
	*now = now.Add(time.Minute)
	_, _ = register(t, l, "a", 2, 600, "<sip:1@h>")
	commands := l.Commands(sip.NewDomains("example.org"), func(sip.AoR) {})
	add := commands[slices.IndexFunc(commands, func(c mi.Command) bool { return c.Name == "ul_add" })]
	run := func(expires string) {
		t.Helper()
		req := &mi.Request{}
		for _, a := range []string{"location", "alice", "sip:1@h", expires, "0.5", "0", "0", "0", "0"} {
			req.Args = append(req.Args, mi.Arg{Value: a})
		}
		if _, err := add.Run(context.Background(), req); err != nil {
			t.Fatal(err)
		}
		l.flush(t.Context())
	}
	run("100")
	if got := contacts(l.Bindings(alice), *now); got != "sip:1@h 100" || len(k.rows) != 1 {
		t.Errorf("%s, and %d rows", got, len(k.rows))
	}
	for _, expires := range []string{"0", "9300000000"} {
		run(expires)
		if bs := l.Bindings(alice); len(bs) != 1 || expiresText(&bs[0], *now) != "permanent" || len(k.rows) != 1 {
			t.Errorf("for %s seconds: %v", expires, bs)
		}
	}
}

// FuzzContact: a Contact value of the answer can be parsed and registered again, and is
// then the same binding.
func FuzzContact(f *testing.F) {
	for _, s := range []string{
		`<sip:a@192.0.2.2:5060;transport=udp>;methods="MESSAGE, SUBSCRIBE" , sip:b@h;q=0.5`,
		`"A" <sip:r@x.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:1>";expires = 600`,
		// RFC 4475 sections 3.1.1.4, 3.3.12, 3.3.13 and 3.3.14
		"sip:%00@host5.example.com, sip:%00%00@host5.example.com", "sip:+19725552222@gw1.example.net;unknownparam",
		"<sip:+19725552222@gw1.example.net;unknownparam>", "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
		"<sip:a@[2001:DB8::1]:5060;q=1>;q=0.0001;expires=99999999999;x=\"\\\"\\\\\"", "*",
		"<sip:\xff:^@h;\x80=,?{>;x=<>;y=;z=\"\x00\xff\";+sip.instance=\"\\\x00\"", "<sip:a@h;x=1>,<sip:a@h;x=2>,<sip:a@h>;reg-id=1;+sip.instance=a", "sip:a@h;#;x/y=1",
		"<sip:a:b;c=d@h>", "sip:" + strings.Repeat("\xbe", 2000) + "@h",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := sip.ParseList(s)
		if err != nil || slices.ContainsFunc(list, func(c sip.NameAddr) bool { return !c.Star && !c.URI.IsSIP() }) {
			return // package router refuses it
		}
		l, _, now := newTable(Settings{})
		r := Register{AoR: alice, Contacts: list, Expires: 600, CallID: "1", CSeq: 1, Flow: func(sip.URI) (sip.Flow, *Error) { return flow("udp:192.0.2.1:5060>203.0.113.1:40000"), nil }}
		made, err := carryOut(t, l, &r)
		first := made.Bindings
		if err != nil || len(first) == 0 {
			return
		}
		r.Contacts, r.CSeq = nil, 2
		for i := range first {
			checkReadable(t, first[i].ContactValue(*now))
			c, err := sip.ParseNameAddr(first[i].ContactValue(*now))
			if err != nil {
				t.Fatalf("%q is listed as %q, which is not read: %v", s, first[i].ContactValue(*now), err)
			}
			r.Contacts = append(r.Contacts, c)
		}
		refreshed, err := carryOut(t, l, &r)
		again := refreshed.Bindings
		if err != nil || len(again) != len(first) {
			t.Fatalf("%q: %d bindings became %d, %v", s, len(first), len(again), err)
		}
		for i := range again {
			if a, b := first[i].ContactValue(*now), again[i].ContactValue(*now); a != b {
				t.Fatalf("%q is listed as %q, and then as %q", s, a, b)
			}
		}
	})
}

// sweep removes all bindings that have expired. Run sweeps a shard at a time.
func (l *Location) sweep(ctx context.Context) {
	for i := range l.shards {
		l.sweepShard(ctx, &l.shards[i])
	}
}
