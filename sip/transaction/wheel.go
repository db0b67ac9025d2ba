package transaction

import (
	"sync"
	"time"
)

// A wheel is a timer wheel for client transactions. Adding a timer appends to a slice, and
// timers are not cancelled: for a transaction that has ended, the timer is ignored when it
// expires.
type wheel struct {
	mu    sync.Mutex
	slots [wheelSlots][]*ClientTx
	ticks int64 // calls of advance
}

const (
	wheelTick  = 100 * time.Millisecond
	wheelSlots = int(timerF/wheelTick) + 2
)

// now returns the number of ticks so far.
func (w *wheel) now() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ticks
}

// tickAfter returns the tick at which d has passed, rounded up.
func (w *wheel) tickAfter(d time.Duration) int64 {
	return w.now() + toTicks(d)
}

func toTicks(d time.Duration) int64 {
	return min(int64((d+wheelTick-1)/wheelTick), int64(wheelSlots-1))
}

// add adds a timer that expires after d.
func (w *wheel) add(tx *ClientTx, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := (w.ticks + max(1, toTicks(d))) % int64(wheelSlots)
	w.slots[i] = append(w.slots[i], tx)
}

// advance advances the wheel by one tick and returns the transactions whose timers expire.
func (w *wheel) advance() []*ClientTx {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ticks++
	i := w.ticks % int64(wheelSlots)
	expired := w.slots[i]
	w.slots[i] = nil
	return expired
}
