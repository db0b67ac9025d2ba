package transport

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// A packetLimiter is a token bucket for each source address. It is checked before a message
// is parsed. Its size is fixed: addresses share buckets by a hash with a secret seed. A
// flood from forged addresses uses no memory, and cannot select the buckets of others.
type packetLimiter struct {
	rate    int64 // tokens per second; 0: no limit
	burst   int64
	seed    maphash.Seed
	start   time.Time                     // with a monotonic clock reading, so setting the clock has no effect
	buckets [limiterBuckets]atomic.Uint64 // milliseconds<<24 | tokens
}

const limiterBuckets = 1 << 16

func newPacketLimiter(rate int) *packetLimiter {
	return &packetLimiter{rate: int64(rate), burst: min(2*int64(rate), 1<<24-1), seed: maphash.MakeSeed(), start: time.Now()}
}

// allow takes one token from the bucket of a source. It reports whether there was one. All
// addresses of an IPv6 /64, the network of one customer, are one source.
func (l *packetLimiter) allow(a netip.Addr, now time.Time) bool {
	if l.rate == 0 {
		return true
	}
	if a.Is6() {
		p, _ := a.Prefix(64)
		a = p.Addr()
	}
	b := &l.buckets[maphash.Comparable(l.seed, a)%limiterBuckets]
	ms := now.Sub(l.start).Milliseconds() + 1 // at least 1, because 0 is an unused bucket
	for {
		old := b.Load()
		then, tokens := int64(old>>24), int64(old&(1<<24-1))
		if old == 0 {
			then, tokens = ms, l.burst
		}
		gained := max(0, ms-then) * l.rate / 1000 // another reader's now may be later
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
