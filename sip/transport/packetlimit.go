package transport

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"

	"silod/limit"
)

// A packetLimiter bounds the rate of messages of each source. It is checked before a message
// is parsed. Its size is fixed: sources share pacers by a hash with a secret seed. A flood
// from forged addresses uses no memory, and cannot select the pacers of others.
type packetLimiter struct {
	rate   atomic.Int64 // messages per second; 0: no limit
	seed   maphash.Seed
	start  time.Time // with a monotonic clock reading, so setting the clock has no effect
	pacers [limiterPacers]pacer
}

const (
	limiterPacers = 1 << 16
	limiterBurst  = 2 * time.Second
)

func newPacketLimiter(rate int) *packetLimiter {
	l := &packetLimiter{seed: maphash.MakeSeed(), start: time.Now()}
	l.rate.Store(int64(rate))
	return l
}

// allow reports whether a message of a source does not exceed the rate, and counts it if so.
func (l *packetLimiter) allow(a netip.Addr, now time.Time) bool { return l.count(a, now, 0) == 0 }

// reserve counts a message of a source and returns the time to wait before it is processed.
func (l *packetLimiter) reserve(a netip.Addr, now time.Time) (wait time.Duration) {
	return l.count(a, now, forever)
}

const forever = 1<<63 - 1

func (l *packetLimiter) count(a netip.Addr, now time.Time, maxWait time.Duration) (wait time.Duration) {
	rate := l.rate.Load()
	if rate == 0 {
		return 0
	}
	p := &l.pacers[maphash.Comparable(l.seed, limit.NetworkOf(a))%limiterPacers]
	return p.count(now.Sub(l.start), time.Second/time.Duration(rate), limiterBurst, maxWait)
}
