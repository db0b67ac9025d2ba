package stack

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// sourceLimiter is a token bucket a source address, in front of the parser. Its
// size is fixed: addresses share buckets by a hash that nobody outside knows, so a
// flood of invented sources takes no memory and cannot pick whom it hurts.
type sourceLimiter struct {
	rate    int64 // tokens a second; 0: no limit
	burst   int64
	seed    maphash.Seed
	start   time.Time                     // whose monotonic clock no setting of the time moves
	buckets [limiterBuckets]atomic.Uint64 // milliseconds<<24 | tokens
}

const limiterBuckets = 1 << 16

func newSourceLimiter(rate int) *sourceLimiter {
	return &sourceLimiter{rate: int64(rate), burst: min(2*int64(rate), 1<<24-1), seed: maphash.MakeSeed(), start: time.Now()}
}

// allow takes one token of the source's bucket. IPv6 sources count by their /64,
// which is what one customer has.
func (l *sourceLimiter) allow(a netip.Addr, now time.Time) bool {
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
