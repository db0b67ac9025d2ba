package transport

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

// Silent targets are last for silentTime or until they answer, and their number is bounded.
func TestSilentTargets(t *testing.T) { synctest.Test(t, testSilentTargets) }

func testSilentTargets(t *testing.T) {
	target := func(n uint16) Target {
		return Target{Transport: sip.UDP, Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), n)}
	}
	all := []Target{target(1), target(2), target(3)}
	l := New(Options{})
	defer l.stop()
	flow := func(t sip.Transport, n uint16) sip.Flow { return sip.Flow{Transport: t, Remote: target(n).Addr} }
	check := func(when string, want ...uint16) {
		t.Helper()
		var got []uint16
		for _, x := range l.silentLast(all) {
			got = append(got, x.Addr.Port())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	check("at the start", 1, 2, 3)
	l.Silent(flow(sip.UDP, 1))
	check("the first is silent", 2, 3, 1)
	l.Silent(flow(sip.TCP, 2))
	check("the second is silent over another transport", 2, 3, 1)
	l.Silent(flow(sip.UDP, 2))
	l.Silent(flow(sip.UDP, 3))
	check("all are silent", 1, 2, 3)
	l.Answered(flow(sip.UDP, 2))
	check("the second has answered", 2, 1, 3)
	if all[0] != target(1) {
		t.Error("the targets of the caller were changed")
	}
	time.Sleep(silentTime)
	check("later", 1, 2, 3)
	for n := range uint16(3 * maxSilent) {
		l.Silent(flow(sip.UDP, n))
	}
	if n := len(l.silent.known); n > maxSilent {
		t.Errorf("%d targets are remembered", n)
	}
}
