package proxy

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// A server that does not answer delays the first message only.
func TestSilentServerIsTriedLast(t *testing.T) {
	t.Parallel()
	first, second := overUDP(t, 0, 0), overUDP(t, 200, 0)
	p := fixture(t, twoServers(t, first.addr, second.addr))
	const soon = 3 * time.Second // less than targetTimeout
	for i, limit := range []time.Duration{targetTimeout + soon, soon, soon} {
		k := p.Fork(t.Context(), hello, []Device{p.Elsewhere("sip:b@udp.test", nil)}, ForkOptions{MaxForwards: 70})
		out := k.Wait(t.Context(), limit)
		k.Abandon()
		if !out.Accepted() {
			t.Errorf("message %d: not accepted within %v: %+v", i, limit, out)
		}
	}
	if a, b := first.received.Load(), second.received.Load(); a != 4 || b != 3 {
		t.Errorf("the silent server got %d copies, want 4; the other one %d, want 3", a, b)
	}
}

// Silent targets are last for silentTime or until they answer, and their number is bounded.
func TestSilentTargets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	target := func(n uint16) transport.Target {
		return transport.Target{Transport: sip.UDP, Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), n)}
	}
	all := []transport.Target{target(1), target(2), target(3)}
	var s silentTargets
	check := func(when string, want ...uint16) {
		t.Helper()
		var got []uint16
		for _, x := range s.last(all, now) {
			got = append(got, x.Addr.Port())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	check("at the start", 1, 2, 3)
	s.add(sip.UDP, all[0].Addr, now)
	check("the first is silent", 2, 3, 1)
	s.add(sip.TCP, all[1].Addr, now)
	check("the second is silent over another transport", 2, 3, 1)
	s.add(sip.UDP, all[1].Addr, now)
	s.add(sip.UDP, all[2].Addr, now)
	check("all are silent", 1, 2, 3)
	s.remove(sip.UDP, all[1].Addr)
	check("the second has answered", 2, 1, 3)
	if all[0] != target(1) {
		t.Error("the targets of the caller were changed")
	}
	now = now.Add(silentTime)
	check("later", 1, 2, 3)
	for n := range uint16(3 * maxSilent) {
		s.add(sip.UDP, target(n).Addr, now)
	}
	if len(s.until) > maxSilent {
		t.Errorf("%d targets are remembered", len(s.until))
	}
}
