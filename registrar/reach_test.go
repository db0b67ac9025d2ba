package registrar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

func TestDialable(t *testing.T) {
	const (
		udp    = "udp:192.0.2.1:5060>203.0.113.1:40000"
		tcp    = "tcp:192.0.2.1:5060>203.0.113.1:40000#1"
		tcp6   = "tcp:[::]:5060>[fe80::1%eth0]:40000#1"
		tls    = "tls:192.0.2.1:5061>203.0.113.1:40000#1"
		ws     = "ws:192.0.2.1:80>203.0.113.1:40000#1"
		wss    = "wss:192.0.2.1:443>203.0.113.1:40000#1"
		phone  = "sip:a@203.0.113.1:5070;transport=tcp"
		natted = "sip:a@192.168.0.5:5070;transport=tcp"
		edge   = "<sip:edge.example.org;transport=tcp;lr>"
	)
	for _, tc := range []struct {
		flow, contact, path string
		regID               uint32
		want                bool
	}{
		{"", "sip:a@pbx.example.org", "", 0, true},
		{tcp, phone, "", 0, true},
		{tcp, "sip:a@203.0.113.1;transport=TCP", "", 0, true},
		{tcp6, "sip:a@[fe80::1]:5070;transport=tcp", "", 0, true},
		{tcp, "sip:a@203.0.113.1:5070", "", 0, true}, // over UDP
		{tcp, "sip:a@203.0.113.1:5070;transport=udp", "", 0, true},
		{tcp, "sips:a@203.0.113.1:5070", "", 0, true},
		{tls, "sips:a@203.0.113.1:5070", "", 0, true},
		{tls, "sip:a@203.0.113.1:5070;transport=tls", "", 0, true},

		{tcp, "sip:a@203.0.113.1:40000;transport=tcp", "", 0, false}, // the port of the connection
		{tcp, phone + ";ob", "", 0, false},
		{tcp, phone, "", 1, false}, // a flow of RFC 5626
		{tcp, "sip:a@203.0.113.1:40000", "", 0, false},
		{tls, "sip:a@203.0.113.1:5070", "", 0, false},
		{tcp, "sip:a@203.0.113.1:5070;transport=ws", "", 0, false},
		{tls, phone, "", 0, false},
		{tcp, natted, "", 0, false},
		{tcp, "sip:a@phone.example.org;transport=tcp", "", 0, false},
		{tcp, "sip:a@x.invalid;transport=tcp", "", 0, false},
		{ws, "sip:a@203.0.113.1:5070;transport=ws", "", 0, false},
		{ws, phone, "", 0, false},
		{udp, "sip:a@203.0.113.1:5070", "", 0, false}, // does not end

		{tcp, natted, edge, 0, true},
		{tcp, natted, edge, 1, true}, // the flow is the edge proxy's
		{tcp, natted, "<sip:203.0.113.1:40000;transport=tcp;lr>", 0, true},
		{tcp, natted, "<sip:203.0.113.1;lr>", 0, true},
		{ws, natted, edge, 0, true},
		{tls, natted, "<sips:edge.example.org;lr>", 0, true},
		{tls, natted, edge, 0, false},
		{wss, natted, edge, 0, false},
		{ws, natted, "<sip:edge.example.org;transport=ws;lr>", 0, false},
		{ws, natted, "<sip:x.invalid;lr>", 0, false},
		{tcp, phone, ".", 0, false},
		{tcp, "", "", 0, false},
	} {
		b := Binding{Contact: tc.contact, RegID: tc.regID}
		if tc.flow != "" {
			b.Flow = flow(tc.flow)
		}
		if tc.path != "" {
			b.Path = []string{tc.path}
		}
		if got := b.Dialable(); got != tc.want {
			t.Errorf("flow %s, contact %s, path %s, reg-id %d: %t", tc.flow, tc.contact, tc.path, tc.regID, got)
		}
	}
}

func TestBehindNAT(t *testing.T) {
	for _, tc := range []struct {
		flow, contact, path string
		via, want           bool
	}{
		{"udp:192.0.2.1:5060>203.0.113.1:40000", "sip:a@203.0.113.1:40000", "", false, false},
		{"udp:192.0.2.1:5060>203.0.113.1:5060", "sip:a@203.0.113.1", "", false, false},
		{"udp:192.0.2.1:5060>[fe80::1%eth0]:5060", "sip:a@[fe80::1]", "", false, false},
		{"udp:192.0.2.1:5060>203.0.113.1:40000", "sip:a@192.168.0.5:5060", "", false, true},
		{"udp:192.0.2.1:5060>203.0.113.1:40000", "sip:a@203.0.113.1:39999", "", false, true},
		{"udp:192.0.2.1:5060>203.0.113.1:40000", "sip:a@phone.example.org", "", false, true},
		{"udp:192.0.2.1:5060>203.0.113.1:40000", "sip:a@203.0.113.1:40000", "", true, true},
		{"udp:192.0.2.1:5060>203.0.113.1:5080", "sip:a@192.168.0.5:5060", "<sip:203.0.113.1:5080;lr>", true, false},
		{"tcp:192.0.2.1:5060>203.0.113.1:40000#1", "sip:a@192.168.0.5:5060", "", true, false},
	} {
		b := Binding{Contact: tc.contact, Flow: flow(tc.flow), ViaNAT: tc.via}
		if tc.path != "" {
			b.Path = []string{tc.path}
		}
		if got := b.BehindNAT(); got != tc.want {
			t.Errorf("%s over %s, Path %q, by Via %t: %t", tc.contact, tc.flow, tc.path, tc.via, got)
		}
	}
}

// A binding that can be reached anew stays when its connection ends, also while silod is
// stopped; another one goes. It is on the connection of its next REGISTER again.
func TestEndOfConnection(t *testing.T) {
	l, k, now := newTable(Settings{})
	first, second := flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), flow("tcp:192.0.2.1:5060>203.0.113.1:40001#2")
	send := func(l *Location, f sip.Flow, contacts string) {
		t.Helper()
		list, err := sip.ParseList(contacts)
		if err != nil {
			t.Fatal(err)
		}
		_, err = carryOut(t, l, &Register{
			AoR: alice, Expires: 600, CallID: fmt.Sprint(f), CSeq: uint32(now.Unix()), Contacts: list, Flow: func(sip.URI) (sip.Flow, *Error) { return f, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		*now = now.Add(time.Second)
	}
	flows := func(l *Location) string {
		var s []string
		for _, b := range l.Bindings(alice) {
			s = append(s, strings.TrimSpace(strings.TrimPrefix(b.Contact, "sip:")+" "+b.Flow.String()))
		}
		slices.Sort(s)
		return strings.Join(s, ", ")
	}
	const listening, natted = "<sip:1@203.0.113.1:5070;transport=tcp>", "<sip:2@192.168.0.5:5070;transport=tcp>"
	send(l, first, listening+","+natted)
	seen := l.Bindings(alice)

	restarted := New(Options{Store: k, Now: l.opt.Now}, Settings{})
	if n, err := restarted.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, false }); n != 1 || err != nil {
		t.Errorf("%d are loaded, %v", n, err)
	}
	l.FlowClosed(t.Context(), first)
	for _, table := range []*Location{l, restarted} {
		if got := flows(table); got != "1@203.0.113.1:5070;transport=tcp" {
			t.Errorf("left: %s", got)
		}
	}
	if seen[0].Flow != first || len(seen) != 2 {
		t.Error("the bindings of a reader have changed")
	}
	if len(k.rows) != 1 || len(l.flows.owners) != 0 {
		t.Errorf("%d rows and %d flows are left", len(k.rows), len(l.flows.owners))
	}
	send(l, second, listening)
	if got := flows(l); got != "1@203.0.113.1:5070;transport=tcp "+second.String() {
		t.Errorf("registered again: %s", got)
	}
	l.FlowClosed(t.Context(), second)
	*now = now.Add(10 * time.Minute)
	l.sweep(t.Context())
	if len(k.rows) != 0 || l.Online(alice) {
		t.Errorf("%d rows are left", len(k.rows))
	}
}

// A connection that ends while its REGISTER waits for the store leaves no binding.
func TestConnectionEndsDuringRegister(t *testing.T) {
	l, k, _ := newTable(Settings{})
	l.opt.Alive = func(sip.Flow) bool { return false }
	_, err := register(t, l, "a", 1, 600, "<sip:1@h1>")
	if err != nil || l.Online(alice) || len(k.rows) != 0 || len(l.flows.owners) != 0 {
		t.Errorf("%v; %d rows and %d flows are left", err, len(k.rows), len(l.flows.owners))
	}
}

// The rows of connections of an earlier process, and of bindings that have expired
// meanwhile, are deleted; those of other programs are not. An error is not the end of it.
func TestStaleRows(t *testing.T) {
	l, k, now := newTable(Settings{})
	const n = 2*staleBatch + 1
	row := func(ruid string, f sip.Flow, life time.Duration) {
		k.rows[ruid] = Binding{RUID: ruid, Contact: "sip:a@192.168.0.5", Flow: f, Expires: now.Add(life)}
	}
	dead, udp := flow("tcp:192.0.2.1:5060>203.0.113.1:40000#1"), flow("udp:192.0.2.1:5060>203.0.113.1:40000")
	for i := range n {
		row(fmt.Sprint(RUIDPrefix, "dead", i), dead, time.Hour)
		row(fmt.Sprint(RUIDPrefix, "expired", i), udp, -time.Second)
	}
	row("uloc-dead", dead, time.Hour)
	row("uloc-expired", udp, -time.Second)
	row(RUIDPrefix+"live", udp, time.Hour)
	row(RUIDPrefix+"ipv6", flow("udp:[::1]:5060>[2001:db8::1]:5060"), time.Hour) // no such listener now

	loaded, err := l.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, f == udp })
	if loaded != 1 || err != nil {
		t.Errorf("%d are loaded, %v", loaded, err)
	}
	k.fail = errors.New("database is down")
	l.deleteStale(t.Context())
	k.fail = nil
	l.deleteStale(t.Context()) // too early
	if len(k.rows) != 2*n+4 {
		t.Errorf("%d rows", len(k.rows))
	}
	*now = now.Add(staleRetry)
	for range 2*n/staleBatch + 1 {
		l.deleteStale(t.Context())
	}
	if len(k.rows) != 4 || l.stale.ruids != nil {
		t.Errorf("%d rows are left", len(k.rows))
	}
}

// Rows of other programs whose address no host can have are left out when they are loaded. A
// client that is reached over a flow may have any contact.
func TestUnreachableRowsAreLeftOut(t *testing.T) {
	l, k, _ := newTable(Settings{})
	nat := flow("udp:192.0.2.1:5060>203.0.113.1:40000")
	for i, tc := range []struct {
		contact string
		path    []string
		flow    sip.Flow
		loaded  bool
	}{
		{"sip:a@192.0.2.7", nil, sip.Flow{}, true},
		{"sip:a@phone.example.org", nil, sip.Flow{}, true},
		{"sip:a@224.0.1.75", nil, sip.Flow{}, false},
		{"sip:a@255.255.255.255", nil, sip.Flow{}, false},
		{"sip:a@0.0.0.0", nil, sip.Flow{}, false},
		{"sip:a@x.invalid", nil, sip.Flow{}, false},
		{"sip:a@0.0.0.0", nil, nat, true},
		{"sip:a@x.invalid", []string{"<sip:192.0.2.9;lr>"}, sip.Flow{}, true},
		{"sip:a@192.0.2.7", []string{"<sip:224.0.1.75;lr>"}, sip.Flow{}, false},
	} {
		ruid := fmt.Sprint("uloc-", i)
		k.rows = map[string]Binding{ruid: {RUID: ruid, Contact: tc.contact, Path: tc.path, Flow: tc.flow, Expires: l.opt.Now().Add(time.Hour)}}
		again := New(Options{Store: k, Now: l.opt.Now}, Settings{})
		if n, err := again.Load(t.Context(), func(f sip.Flow) (sip.Flow, bool) { return f, true }); err != nil || (n == 1) != tc.loaded {
			t.Errorf("%s, Path %v: %d are loaded, %v", tc.contact, tc.path, n, err)
		}
	}
}
