package transport

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"silod/limit"
	"silod/sip"
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

// TestReservations checks that messages above the rate have to wait for their turn.
func TestReservations(t *testing.T) {
	l := newPacketLimiter(100)
	now := time.Now()
	a := netip.MustParseAddr("192.0.2.1")
	for range 200 {
		if wait := l.reserve(a, now); wait != 0 {
			t.Fatalf("a message of the burst waits for %v", wait)
		}
	}
	for i := range 50 {
		if wait, want := l.reserve(a, now), time.Duration(i+1)*10*time.Millisecond; wait != want {
			t.Errorf("message %d after the burst waits for %v, want %v", i, wait, want)
		}
	}
	if wait := l.reserve(netip.MustParseAddr("192.0.2.2"), now); wait != 0 {
		t.Errorf("another source waits for %v", wait)
	}
	l.rate.Store(0)
	if wait := l.reserve(a, now); wait != 0 {
		t.Errorf("without a limit a message waits for %v", wait)
	}
}

// TestCreditsEarned checks that a source that has used its free bytes is never sent more bytes
// than it has sent, and that retransmissions of a request are answered in the end.
func TestCreditsEarned(t *testing.T) {
	c, now := newCredits(), time.Now()
	a := netip.MustParseAddr("192.0.2.1")
	for c.allow(a, 100, 101, now) {
		continue
	}
	in, out, unanswered := 0, 0, 0
	for range 10_000 {
		request := 1 + rand.IntN(500)
		answer := request + 1 + rand.IntN(500) // a smaller answer needs no credit
		in += request
		if !c.allow(a, request, answer, now) {
			c.earn(a, request)
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
}

// TestReflection floods silod with requests of forged sources, for a minute. It logs how many
// bytes each source is sent for each byte that came from it.
func TestReflection(t *testing.T) {
	for _, tc := range []struct {
		name            string
		source          func() netip.Addr
		perSecond       int
		request, answer int
		most            float64 // bytes out for each byte in
		excess          int     // bytes out that did not come in
	}{
		{"one IPv4 address", func() netip.Addr { return netip.MustParseAddr("192.0.2.1") }, 2000, 250, 480, 1.001, freeBurst + 60*freeRate},
		{"one IPv6 /64", anyOf("2001:db8::/64"), 2000, 250, 500, 1.001, freeBurst + 60*freeRate},
		{"a slow flood", func() netip.Addr { return netip.MustParseAddr("192.0.2.1") }, 2, 250, 480, 1.3, freeBurst + 60*freeRate},
		{"all addresses of a network", anyOf("198.18.0.0/16"), 5000, 250, 480, 1.1, freeAllBurst + 60*freeAllRate},
		{"all IPv6 addresses", anyOf("2001::/16"), 5000, 250, 480, 1.1, freeAllBurst + 60*freeAllRate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCredits()
			var in, out, packets int
			for i := range 60 * tc.perSecond {
				now := c.start.Add(time.Duration(i) * time.Second / time.Duration(tc.perSecond))
				a := tc.source()
				in += tc.request
				if !c.allow(a, tc.request, tc.answer, now) {
					c.earn(a, tc.request)
					continue
				}
				out += tc.answer
				packets++
			}
			factor := float64(out) / float64(in)
			t.Logf("%d requests: %.3f bytes out for each byte in, %.3f packets for each packet", 60*tc.perSecond, factor, float64(packets)/float64(60*tc.perSecond))
			if factor > tc.most || out-in > tc.excess {
				t.Errorf("%d bytes were sent for %d received", out, in)
			}
		})
	}
}

// anyOf returns a function that returns a random address of a network.
func anyOf(network string) func() netip.Addr {
	p := netip.MustParsePrefix(network)
	return func() netip.Addr {
		b := p.Addr().AsSlice()
		for i := p.Bits() / 8; i < len(b); i++ {
			b[i] = byte(rand.Uint32())
		}
		a, _ := netip.AddrFromSlice(b)
		return a
	}
}

// TestProvenSource checks that a source that has answered a challenge gets answers at once, for
// a time, but none beyond three times the size of its request.
func TestProvenSource(t *testing.T) {
	c, now := newCredits(), time.Now()
	a := netip.MustParseAddr("192.0.2.1")
	for c.allow(a, 250, 480, now) {
		continue
	}
	c.prove(a, now)
	for range 10_000 {
		if !c.allow(a, 250, 480, now) {
			t.Fatal("an answer to a proven source is held back")
		}
	}
	if c.allow(a, 250, 751, now) {
		t.Error("an answer of more than three times the size is sent")
	}
	if other := netip.MustParseAddr("192.0.2.2"); !c.allow(other, 250, 480, now) || c.allow(other, 250, 250+freeBurst, now) {
		t.Error("another source has not the credit of an unknown one")
	}
	if c.allow(a, 250, 250+freeBurst+1, now.Add(provenTime+time.Second)) || c.isProven(limit.NetworkOf(a), provenTime+time.Second) {
		t.Error("the source is proven for ever")
	}
	for i := range 10 * maxProven { // the table does not grow
		c.prove(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	if n := c.proven.Len(); n > maxProven {
		t.Errorf("%d sources are proven", n)
	}
}

// TestTopBranch compares the search for a branch with the parser.
func TestTopBranch(t *testing.T) {
	const start = "SIP/2.0 200 OK\r\n"
	for text, want := range map[string]string{
		"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport\r\n":                                 "z9hG4bKa",
		"v:SIP/2.0/TCP 192.0.2.1 ;rport;BRANCH=z9hG4bKb\r\n":                                   "z9hG4bKb",
		"To: <sip:a@b;branch=x>\r\nVIA : SIP/2.0/UDP [::1]:5060;branch=z9hG4bKc , SIP/2.0\r\n": "z9hG4bKc",
		"Via: SIP/2.0/UDP 192.0.2.1, SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKd\r\n":                "",
		"Via: SIP/2.0/UDP 192.0.2.1\r\nVia: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKe\r\n":         "",
		"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKf":                                           "",
		"Via: SIP/2.0/UDP 192.0.2.1;branch=\r\n":                                               "",
		"To: a\r\n\r\nVia: x;branch=z9hG4bKg":                                                  "",
		"":                                                                                     "",
	} {
		if got := string(topBranch([]byte(start + text))); got != want {
			t.Errorf("%q: branch %q, want %q", text, got, want)
		}
	}
	if got := topBranch([]byte(start + "X: " + strings.Repeat("x", maxBranchSearch) + "\r\nVia: y;branch=z\r\n")); got != nil {
		t.Errorf("the search is not bounded: %q", got)
	}
}

// FuzzTopBranch compares the search for a branch with the parser, for responses without quoted
// texts, comments and folded lines, in which the search may find another one.
func FuzzTopBranch(f *testing.F) {
	for _, via := range []string{"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa;rport", "v:SIP/2.0/TCP h ;BRANCH=z9hG4bKb , SIP/2.0/UDP i;branch=c"} {
		f.Add([]byte("SIP/2.0 200 OK\r\n" + via + "\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		branch := topBranch(raw)
		m, err := sip.Parse(raw, false)
		if branch == nil || err != nil || m.Status == 0 || bytes.ContainsAny(raw, "\"(\\") || bytes.Contains(raw, []byte("\n ")) || bytes.Contains(raw, []byte("\n\t")) {
			return
		}
		via, err := sip.ParseVia(m.Get("Via"))
		if err == nil && via.Branch() != string(branch) {
			t.Errorf("branch %q, the parser finds %q", branch, via.Branch())
		}
	})
}
