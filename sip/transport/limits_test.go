package transport

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

func TestPacketLimiter(t *testing.T) {
	l := newPacketLimiter(100)
	now := time.Now()
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	count := func(a netip.Addr) int {
		n := 0
		for l.allow(a, now) {
			n++
		}
		return n
	}
	if n := count(a); n != 200 {
		t.Errorf("a burst of %d messages", n)
	}
	if n := count(b); n != 200 {
		t.Errorf("another source may send %d", n)
	}
	now = now.Add(time.Second)
	if n := count(a); n != 100 {
		t.Errorf("%d messages in the next second", n)
	}
	if n := count(a); n != 0 {
		t.Errorf("%d messages above the limit", n)
	}
	// All addresses of an IPv6 /64 are one source.
	if n := count(netip.MustParseAddr("2001:db8::1")); n != 200 {
		t.Errorf("an IPv6 burst of %d messages", n)
	}
	if n := count(netip.MustParseAddr("2001:db8::2")); n != 0 {
		t.Errorf("another address of the /64 may send %d", n)
	}
}

// TestCredits checks that a source is never sent more bytes than it has sent, and that
// retransmissions of a request are answered in the end.
func TestCredits(t *testing.T) {
	c := &credits{seed: maphash.MakeSeed()}
	a := netip.MustParseAddr("192.0.2.1")
	in, out, unanswered := 0, 0, 0
	for range 10_000 {
		request := 1 + rand.IntN(500)
		answer := request + 1 + rand.IntN(500) // a smaller answer needs no credit
		in += request
		if !c.allow(a, request, answer) {
			if unanswered += request; unanswered > 1000 {
				t.Fatalf("an answer of %d bytes is held back after %d bytes of requests", answer, unanswered)
			}
			continue
		}
		unanswered = 0
		if out += answer; out > in {
			t.Fatalf("%d bytes were sent for %d received", out, in)
		}
	}
	if c.allow(netip.MustParseAddr("192.0.2.2"), 100, 101) || c.allow(netip.MustParseAddr("2001:db8::1"), 100, 101) {
		t.Error("another source has credit")
	}
}
