package transport

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// packetLimiter is a token bucket for each source address, in front of the parser. Its size
// is fixed: addresses share buckets by a hash with a secret seed, so that a flood from
// forged sources takes no memory and cannot choose which others it hurts.
type packetLimiter struct {
	rate    int64 // tokens a second; 0: no limit
	burst   int64
	seed    maphash.Seed
	start   time.Time                     // on the monotonic clock, which setting the time does not move
	buckets [limiterBuckets]atomic.Uint64 // milliseconds<<24 | tokens
}

const limiterBuckets = 1 << 16

func newPacketLimiter(rate int) *packetLimiter {
	return &packetLimiter{rate: int64(rate), burst: min(2*int64(rate), 1<<24-1), seed: maphash.MakeSeed(), start: time.Now()}
}

// allow takes one token of the source's bucket, and reports whether there was one. IPv6
// sources count by their /64, the network of one customer.
func (l *packetLimiter) allow(a netip.Addr, now time.Time) bool {
	if l.rate == 0 {
		return true
	}
	if a.Is6() {
		p, _ := a.Prefix(64)
		a = p.Addr()
	}
	b := &l.buckets[maphash.Comparable(l.seed, a)%limiterBuckets]
	ms := now.Sub(l.start).Milliseconds() + 1 // never 0, which is a new bucket
	for {
		old := b.Load()
		then, tokens := int64(old>>24), int64(old&(1<<24-1))
		if old == 0 {
			then, tokens = ms, l.burst
		}
		gained := max(0, ms-then) * l.rate / 1000 // another reader may be a little ahead
		if gained > 0 {
			tokens, then = min(l.burst, tokens+gained), ms
		}
		if tokens == 0 {
			return false
		}
		if b.CompareAndSwap(old, uint64(then)<<24|uint64(tokens-1)) {
			return true
		}
	}
}

// isResponse reports whether a message begins as a response does.
func isResponse(raw []byte) bool { return bytes.HasPrefix(raw, []byte("SIP/2.0 ")) }
