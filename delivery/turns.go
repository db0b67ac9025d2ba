package delivery

import (
	"sync"
	"time"
)

// turns bound how many workers use the processor at once. What is said in a large
// room makes hundreds of them runnable in one moment; all at once they would keep
// the machine to themselves for as long as that takes, and a request that comes in
// meanwhile, or a commit that comes back, would wait behind them. So one processor
// less than there are is theirs, one after the other, and a worker that waits for
// an answer has no turn.
//
// A worker may still wait with a turn in its hand: for the store, for a name server,
// for a connection. Where turns go round too slowly there are soon more of them, and
// when nobody waits any more there are again as many as before.
type turns struct {
	least int

	mu     sync.Mutex
	total  int             // in hands, and free
	free   int             // nobody has them
	queue  []chan struct{} // of those who wait, in order
	passed int             // turns that went on to the next since the last look
	looks  bool            // a look is due
}

const (
	lookEvery = 20 * time.Millisecond
	// slowTurns is how few turns of one processor in that time show that they are not
	// spent in computing: one usually takes 20 µs.
	slowTurns = 20
)

func newTurns(n int) *turns { return &turns{least: n, total: n, free: n} }

// begin waits for a turn.
func (t *turns) begin() {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	mine := make(chan struct{})
	t.queue = append(t.queue, mine)
	if !t.looks {
		t.looks, t.passed = true, 0
		time.AfterFunc(lookEvery, t.look)
	}
	t.mu.Unlock()
	<-mine
}

// end gives a turn to who waits longest.
func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.queue) > 0:
		t.passed++
		t.next()
	case t.total > t.least:
		t.total--
	default:
		t.free++
	}
}

// next lets the first who waits begin. t.mu is held.
func (t *turns) next() {
	close(t.queue[0])
	if t.queue = t.queue[1:]; len(t.queue) == 0 {
		t.queue = nil
	}
}

// look doubles the turns where they went round too slowly, and brings them back to
// the usual number when nobody waits.
func (t *turns) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		held := t.total - t.free
		t.total = max(held, t.least)
		t.free = t.total - held
		t.looks = false
		return
	}
	if t.passed < slowTurns*t.least {
		t.free += t.total
		t.total *= 2
		for t.free > 0 && len(t.queue) > 0 {
			t.free--
			t.next()
		}
	}
	t.passed = 0
	time.AfterFunc(lookEvery, t.look)
}

// without gives the turn up while f waits for something.
func (t *turns) without(f func()) {
	t.end()
	defer t.begin()
	f()
}
