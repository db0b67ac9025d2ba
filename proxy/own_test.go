package proxy

import (
	"testing"
	"time"

	"silod/sip"
)

// A contact with a name that DNS gives this server is not reached here, but at the other servers
// of that name.
func TestContactResolvesToUs(t *testing.T) {
	t.Parallel()
	us, other := overUDP(t, 200, 0), overUDP(t, 200, 0)
	p := fixture(t, twoServers(t, us.addr, other.addr))
	p.own.Listen = []sip.Listener{{Transport: sip.UDP, Addr: us.addr}}
	device := Device{Name: "b", Routes: []Route{{URI: "sip:b@udp.test", Binding: bound("b")}}}
	k := p.Fork(t.Context(), hello, []Device{device}, ForkOptions{Recipient: user("bob"), MaxForwards: 70})
	defer k.Abandon()
	if out := k.Wait(t.Context(), 5*time.Second); !out.Accepted() {
		t.Errorf("not accepted: %+v", out)
	}
	if us.received.Load() != 0 || other.received.Load() != 1 {
		t.Errorf("%d requests came here, and %d to the other server", us.received.Load(), other.received.Load())
	}

	p.own.Listen = append(p.own.Listen, sip.Listener{Transport: sip.UDP, Addr: other.addr})
	k = p.Fork(t.Context(), hello, []Device{device}, ForkOptions{Recipient: user("bob"), MaxForwards: 70})
	defer k.Abandon()
	if out := k.Wait(t.Context(), 5*time.Second); out.Open > 0 || out.Unreached != 1 {
		t.Errorf("sent to us: %+v", out)
	}
}
