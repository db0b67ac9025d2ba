package delivery

import (
	"sync"
	"time"
)

// cpuSlots bound the number of workers that compute at once. A message to a large room
// makes hundreds of workers runnable in one moment. Requests that arrive meanwhile, and
// commits that complete, would wait until all of them have run. So a worker needs a slot,
// there is one slot less than processors, and a worker that waits for an answer holds none.
//
// A worker may still wait while holding a slot: for the store, a name server, a
// connection. When slots are handed over too slowly, more are added. They are removed when
// no worker waits for a slot.
type cpuSlots struct {
	usual int

	mu         sync.Mutex
	total      int             // held and free
	free       int             // not held
	queue      []chan struct{} // of the waiting workers, in order
	handedOver int             // slots handed to waiting workers since the last adjustment
	adjusting  bool            // an adjustment is due
}

const (
	adjustEvery = 20 * time.Millisecond
	// minHandOvers is the least number of hand-overs of a slot in adjustEvery. A worker
	// computes for about 20 µs, so that there are a thousand; where there are fewer than
	// this, workers wait while holding slots.
	minHandOvers = 20
)

func newCPUSlots(n int) *cpuSlots { return &cpuSlots{usual: n, total: n, free: n} }

// acquire waits for a slot.
func (c *cpuSlots) acquire() {
	c.mu.Lock()
	if c.free > 0 {
		c.free--
		c.mu.Unlock()
		return
	}
	mine := make(chan struct{})
	c.queue = append(c.queue, mine)
	if !c.adjusting {
		c.adjusting, c.handedOver = true, 0
		time.AfterFunc(adjustEvery, c.adjust)
	}
	c.mu.Unlock()
	<-mine
}

// release hands a slot to the worker that waits longest.
func (c *cpuSlots) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case len(c.queue) > 0:
		c.handedOver++
		c.handOver()
	case c.total > c.usual:
		c.total--
	default:
		c.free++
	}
}

// handOver lets the first waiting worker go on. c.mu is held.
func (c *cpuSlots) handOver() {
	close(c.queue[0])
	if c.queue = c.queue[1:]; len(c.queue) == 0 {
		c.queue = nil
	}
}

// adjust doubles the slots where they are handed over too slowly, and restores the
// usual number when no worker waits.
func (c *cpuSlots) adjust() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		held := c.total - c.free
		c.total = max(held, c.usual)
		c.free = c.total - held
		c.adjusting = false
		return
	}
	if c.handedOver < minHandOvers*c.usual {
		c.free += c.total
		c.total *= 2
		for c.free > 0 && len(c.queue) > 0 {
			c.free--
			c.handOver()
		}
	}
	c.handedOver = 0
	time.AfterFunc(adjustEvery, c.adjust)
}

// releaseWhile releases the slot while f waits.
func (c *cpuSlots) releaseWhile(f func()) {
	c.release()
	defer c.acquire()
	f()
}
