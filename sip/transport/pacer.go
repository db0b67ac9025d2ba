package transport

import (
	"sync/atomic"
	"time"
)

// A pacer bounds a rate, as the leaky bucket of ITU-T I.371 does (GCRA). It contains the time
// at which all that was counted so far would have come at exactly the rate. Times are given
// since a fixed start. The zero pacer has counted nothing.
type pacer struct{ until atomic.Int64 }

// count counts something that comes once in each interval at the rate, unless it would have
// to wait longer than maxWait. It returns the wait. What comes in the time burst at the rate
// may come at once.
func (p *pacer) count(now, interval, burst, maxWait time.Duration) (wait time.Duration) {
	for {
		old := p.until.Load()
		until := max(time.Duration(old), now) + interval
		wait = max(0, until-now-burst)
		if wait > maxWait || p.until.CompareAndSwap(old, int64(until)) {
			return wait
		}
	}
}

// uncount reverses a call of count.
func (p *pacer) uncount(interval time.Duration) { p.until.Add(-int64(interval)) }
