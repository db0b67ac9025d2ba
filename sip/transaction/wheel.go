package transaction

import (
	"sync"
	"time"
)

// wheel is a timer wheel for client transactions: adding is an append, and a
// transaction that ended is found out when its slot comes, never looked for. One
// ticker turns it, whatever the number of transactions.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots][]*ClientTx
	at    int64 // ticks so far
}

const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = int(timerF/wheelTick) + 2
)

// now is the number of ticks so far.
func (w *wheel) now() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// after is the tick at which d will be over, rounded up.
func (w *wheel) after(d time.Duration) int64 {
	return w.now() + ticks(d)
}

func ticks(d time.Duration) int64 {
	return min(int64((d+wheelTick-1)/wheelTick), int64(wheelSlots-1))
}

// add has c come up when d is over.
func (w *wheel) add(c *ClientTx, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := (w.at + max(1, ticks(d))) % int64(wheelSlots)
	w.slots[i] = append(w.slots[i], c)
}

// tick turns the wheel and gives what has come up.
func (w *wheel) tick() []*ClientTx {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at++
	i := w.at % int64(wheelSlots)
	due := w.slots[i]
	w.slots[i] = nil
	return due
}
