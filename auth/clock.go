package auth

import (
	"sync"
	"time"
)

// A clock measures the time since it was made. It never goes back, and does not follow the
// clock of the system when that is set: nonces keep their age.
type clock struct {
	now func() time.Time

	mu     sync.Mutex
	last   time.Time
	passed time.Duration
	ticks  int64 // the last result of tick
}

func newClock(now func() time.Time) *clock { return &clock{now: now, last: now()} }

// elapsed returns the time since the clock was made. A time.Time from time.Now has a monotonic
// reading, which Sub uses.
func (c *clock) elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.advance()
}

// tick returns the elapsed time in microseconds. It returns each value only once.
func (c *clock) tick() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks = max(c.ticks+1, c.advance().Microseconds())
	return c.ticks
}

// advance adds the time since the last call. c.mu is held.
func (c *clock) advance() time.Duration {
	now := c.now()
	c.passed += max(0, now.Sub(c.last))
	c.last = now
	return c.passed
}
