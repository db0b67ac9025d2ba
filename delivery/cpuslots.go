package delivery

import (
	"sync"
	"time"
)

// cpuSlots bound the number of workers that compute at once. A message to a large room
// makes hundreds of them runnable in one moment: all at once they would keep the
// machine busy for that long, and a request that arrives meanwhile, or a commit that
// completes, would wait behind them. So there is one slot less than processors, for
// one worker after the other, and a worker that waits for an answer holds none.
//
// A worker may still wait while holding a slot: for the store, a name server, a
// connection. Where slots are handed over too slowly, there are soon more of them,
// and the usual number when no worker waits any more.
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
	// slowSlots is the number of times that one processor's slot is handed over in that
	// time, below which slots are held by workers that wait: computing takes 20 µs.
	slowSlots = 20
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
	if c.handedOver < slowSlots*c.usual {
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
