package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// natted returns a proxy with the bindings of n users behind NATs and of some others.
func natted(t *testing.T, n int, now *time.Time) *Proxy {
	t.Helper()
	l := registrar.New(registrar.Options{Now: func() time.Time { return *now }}, registrar.Settings{})
	local := netip.MustParseAddrPort("192.0.2.1:5060")
	bind := func(user string, contact string, path []string, f sip.Flow) {
		uri, err := sip.ParseURI(contact)
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Update(t.Context(), &registrar.Register{
			AoR: sip.AoR{User: user, Domain: "example.org"}, CallID: user, CSeq: 1, Expires: 3600, Path: path,
			Contacts: []sip.NameAddr{{URI: uri}}, Flow: func(sip.URI) (sip.Flow, *registrar.Error) { return f, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	udp := func(i int) sip.Flow {
		ip := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		return sip.Flow{Transport: sip.UDP, Local: local, Remote: netip.AddrPortFrom(ip, 40000)}
	}
	for i := range n {
		bind(fmt.Sprint("user", i), "sip:a@192.168.0.5:5060", nil, udp(i))
	}
	bind("direct", "sip:a@203.0.0.1:40000", nil, udp(1))
	bind("edge", "sip:a@192.168.0.5", []string{"<sip:203.0.0.1:40000;lr>"}, udp(1))
	bind("dialed", "sip:a@192.168.0.5", nil, sip.Flow{})
	tcp := udp(1)
	tcp.Transport, tcp.Conn = sip.TCP, 1
	bind("tcp", "sip:a@192.168.0.5", nil, tcp)
	return New(Options{Location: l}, Settings{})
}

// Each binding behind a NAT gets one packet in each interval, and the packets are spread over
// it, whatever their number.
func TestPingsAreSpread(t *testing.T) {
	const interval = 25 * time.Second
	for _, n := range []int{0, 1, 7, 1000, 20_000} {
		now := time.Unix(1_800_000_000, 0)
		p := natted(t, n, &now)
		g := newPinger(p)
		times := map[sip.Flow][]time.Time{}
		perTick, largest := 0, 0
		g.empty = func(f sip.Flow) error {
			perTick++
			times[f] = append(times[f], now)
			return nil
		}
		g.set = NATPing{Every: interval}
		g.tick(now)
		clear(times)
		for range 4 * interval / pingTick {
			now = now.Add(pingTick)
			perTick = 0
			g.tick(now)
			largest = max(largest, perTick)
		}
		// The parts of the table are not of exactly the same size.
		if mean := n * int(pingTick) / int(interval); largest > 3*mean+3 {
			t.Errorf("%d bindings: %d packets in one tick", n, largest)
		}
		if len(times) != n {
			t.Errorf("%d of %d bindings get packets", len(times), n)
		}
		for f, at := range times {
			if len(at) < 3 || len(at) > 5 {
				t.Fatalf("%d bindings: %d packets to %s in 4 intervals", n, len(at), f)
			}
			for i := range at[1:] {
				if pause := at[i+1].Sub(at[i]); pause < interval-time.Second || pause > interval+time.Second {
					t.Fatalf("%d bindings: %v between two packets to %s", n, pause, f)
				}
			}
		}
		if got := p.Pings.Sent.Value(); n > 0 && got < int64(3*n) {
			t.Errorf("%d are counted", got)
		}
	}
}

// The contacts of a user that are reached over one flow need one packet.
func TestOnePingForAFlow(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := natted(t, 100, &now)
	local, nat := netip.MustParseAddrPort("192.0.2.1:5060"), netip.MustParseAddr("203.0.113.1")
	var contacts []sip.NameAddr
	for i := range 100 {
		uri, _ := sip.ParseURI(fmt.Sprintf("sip:a%d@192.168.0.5", i))
		contacts = append(contacts, sip.NameAddr{URI: uri})
	}
	for i := range 2 {
		flow := sip.Flow{Transport: sip.UDP, Local: local, Remote: netip.AddrPortFrom(nat, uint16(40000+i))}
		_, err := p.location.Update(t.Context(), &registrar.Register{
			AoR: sip.AoR{User: "many", Domain: "example.org"}, CallID: fmt.Sprint(i), CSeq: 1, Expires: 3600,
			Contacts: contacts[50*i : 50*i+50], Flow: func(sip.URI) (sip.Flow, *registrar.Error) { return flow, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var list []registrar.Entry
	for part := range registrar.Parts {
		list = p.location.AppendBehindNAT(part, list)
	}
	if len(list) != 100+2 {
		t.Errorf("%d packets for 100 users and a user with 2 flows", len(list))
	}
}

// There is no burst, whatever happens: the process was suspended, the interval is too short
// for the number of bindings, the settings change.
func TestNoBurstOfPings(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	const n = 20_000
	g := newPinger(natted(t, n, &now))
	sent := 0
	g.empty = func(sip.Flow) error {
		sent++
		return errors.New("not sent")
	}
	tick := func(after time.Duration) int {
		now, sent = now.Add(after), 0
		g.tick(now)
		return sent
	}
	g.set = NATPing{Every: 25 * time.Second}
	tick(pingTick)
	if got := tick(time.Hour); got > 2*n/25 {
		t.Errorf("%d packets after an hour", got)
	}
	g.set.Every = 100 * time.Millisecond
	for range 10 {
		if got := tick(pingTick); got > pingsPerTick {
			t.Errorf("%d packets in a tick", got)
		}
	}
	g.set.Every = 0
	if got := tick(time.Hour); got != 0 || g.list != nil {
		t.Errorf("%d packets are sent when they are off", got)
	}
	g.set.Every = 25 * time.Second
	if got := tick(pingTick); got > 2*n/25 {
		t.Errorf("%d packets when they are on again", got)
	}
}

// Only failures in a row count, and failures of bindings that are gone are forgotten.
func TestFailuresOfPings(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	p := natted(t, 1, &now)
	g := newPinger(p)
	g.set = NATPing{Every: 25 * time.Second, Options: true, Failures: 3}
	var list []registrar.Entry
	for part := range registrar.Parts {
		list = p.location.AppendBehindNAT(part, list)
	}
	if len(list) != 1 {
		t.Fatalf("%d bindings", len(list))
	}
	e := list[0]
	end := func(err error) {
		tx := new(transaction.ClientTx)
		g.probes[tx] = probe{entry: e}
		g.answered(transaction.Result{Tx: tx, Err: err})
	}
	silent := transaction.ErrTimeout
	for _, err := range []error{silent, silent, nil, silent, silent} {
		end(err)
	}
	if len(g.drops) != 0 || g.failures[e.Binding.RUID].count != 2 {
		t.Errorf("%d removals after %d failures in a row", len(g.drops), g.failures[e.Binding.RUID].count)
	}
	g.answered(transaction.Result{Tx: new(transaction.ClientTx), Err: silent}) // of a probe that was abandoned
	end(silent)
	if len(g.drops) != 1 || len(g.failures) != 0 {
		t.Errorf("%d removals, %d failures", len(g.drops), len(g.failures))
	}
	end(silent)
	for range 4 * registrar.Parts {
		g.nextPart()
	}
	if len(g.failures) != 0 {
		t.Error("failures of a binding that is not pinged any more are kept")
	}

	// A client that has registered again is not removed.
	now = now.Add(time.Second)
	uri, _ := sip.ParseURI(e.Binding.Contact)
	flow := e.Binding.Flow
	_, err := p.location.Update(t.Context(), &registrar.Register{
		AoR: e.AoR, CallID: "again", CSeq: 1, Expires: 3600, Contacts: []sip.NameAddr{{URI: uri}}, Flow: func(sip.URI) (sip.Flow, *registrar.Error) { return flow, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if dropped, err := p.location.Drop(t.Context(), e); dropped || err != nil {
		t.Errorf("removed: %t, %v", dropped, err)
	}
	fresh := p.location.Bindings(e.AoR)
	if dropped, err := p.location.Drop(t.Context(), registrar.Entry{AoR: e.AoR, Binding: &fresh[0]}); !dropped || err != nil || p.location.Online(e.AoR) {
		t.Errorf("removed: %t, %v", dropped, err)
	}
}
