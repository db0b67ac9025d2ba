package proxy

import (
	"testing"
	"time"
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
