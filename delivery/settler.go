package delivery

import (
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Bounds of a settler. When one is reached, nothing new is sent until items have been
// removed: a pause is better than a second delivery.
const (
	maxUnsettled    = 16_384 // items of one queue, besides removals in progress
	maxUnsettledFor = 256    // items of one queue for one recipient

	sweepWait    = time.Second // doubled up to maxSweepWait while nothing can be removed
	maxSweepWait = 30 * time.Second
	sweepBatch   = 64              // removals that are retried at once
	lastSweep    = 2 * time.Second // for the retry when the engine stops
)

// A settler holds the items of one queue that were delivered or refused and that the
// Source could not remove, usually because the database is not available. They are not
// sent again, and their removal is retried until it succeeds or the process ends.
//
// A sweep retries one removal first, and the others only when that has succeeded: most
// failures concern the whole Source.
type settler struct {
	log      *slog.Logger
	resume   func([]recipientKey) // wakes recipients that were paused
	sweeping chan struct{}        // has an element during a sweep

	mu        sync.Mutex
	unsettled int                      // items in keys
	keys      map[recipientKey][]int64 // of unsettled items; passes read the lists, so elements do not change
	failed    []*removal               // to be retried, in this order
	paused    map[recipientKey]struct{}
	wait      time.Duration // before the next sweep
	timer     *time.Timer   // nil if no sweep is due or running
	stopped   bool
	removed   removedItems
}

// keysOf returns the keys of a recipient's items that must not be sent again. It is
// called before the Source is read: afterwards an item that was read may have been removed
// and its key forgotten, and it would be sent again.
func (s *settler) keysOf(k recipientKey) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[k]
}

// settled takes the outcome of a removal.
func (s *settler) settled(m *removal, err error) {
	switch {
	case err != nil:
		s.add(m, err)
	case m.out.Verdict == Delivered:
		s.remember(&m.to, &m.item)
	}
}

// remember remembers an item that was delivered and removed.
func (s *settler) remember(to *recipientKey, it *Item) {
	hash := s.removed.hash(to, it)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed.add(hash)
}

// wasRemoved reports whether an item that the Source has returned was delivered and removed
// before.
func (s *settler) wasRemoved(to *recipientKey, it *Item) bool {
	hash := s.removed.hash(to, it)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removed.has(hash)
}

// full reports whether a bound is reached, or would be exceeded by so many more items for
// the recipient.
func (s *settler) full(k recipientKey, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fullLocked(k, more)
}

func (s *settler) fullLocked(k recipientKey, more int) bool {
	return s.unsettled >= maxUnsettled || len(s.keys[k])+more > maxUnsettledFor
}

// pause reports the same as full. If it reports true, the recipient is woken when items
// have been removed.
func (s *settler) pause(k recipientKey, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fullLocked(k, more) {
		return false
	}
	if s.paused == nil {
		s.paused = make(map[recipientKey]struct{})
	}
	s.paused[k] = struct{}{}
	return true
}

// add adds an item after its removal has failed with err.
func (s *settler) add(m *removal, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.keys[m.to], m.item.Key) {
		return
	}
	if s.keys == nil {
		s.keys = make(map[recipientKey][]int64)
	}
	if s.unsettled++; s.unsettled == 1 {
		s.log.Warn("delivered messages not removed", "owner", m.to.AoR, "call_id", m.item.CallID, "error", err)
	}
	s.keys[m.to] = append(s.keys[m.to], m.item.Key)
	s.failed = append(s.failed, m)
	s.schedule()
}

// schedule starts the timer of the next sweep, unless one is due or running. s.mu is
// held.
func (s *settler) schedule() {
	if s.timer == nil && !s.stopped {
		s.wait = max(s.wait, sweepWait)
		s.timer = time.AfterFunc(s.wait, s.sweep)
	}
}

// sweep retries removals until one fails.
func (s *settler) sweep() {
	s.sweeping <- struct{}{}
	defer func() { <-s.sweeping }()
	removed := 0
	for n := 1; ; n = sweepBatch {
		batch := s.take(n)
		left := s.retry(batch)
		removed += len(batch) - left
		if len(batch) == 0 || left > 0 {
			break
		}
	}
	if paused := s.swept(removed); len(paused) > 0 {
		s.resume(paused)
	}
}

// take returns the first removals, n at most.
func (s *settler) take(n int) []*removal {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = min(n, len(s.failed))
	batch := s.failed[:n:n]
	if s.failed = s.failed[n:]; len(s.failed) == 0 {
		s.failed = nil
	}
	return batch
}

// retry retries removals and returns the number that has failed again.
func (s *settler) retry(batch []*removal) (left int) {
	var open openRemovals
	for _, m := range batch {
		open.begin()
		m.settle(func(err error) {
			s.mu.Lock()
			if err == nil {
				s.forget(m)
			} else {
				left++
				s.failed = append(s.failed, m)
			}
			s.mu.Unlock()
			open.end()
		})
	}
	open.wait(nil)
	return left
}

// forget drops an item that was removed. It does not change the old list of keys, which a
// pass may be reading. s.mu is held.
func (s *settler) forget(m *removal) {
	if m.out.Verdict == Delivered {
		s.removed.add(s.removed.hash(&m.to, &m.item))
	}
	s.unsettled--
	keys := s.keys[m.to]
	if len(keys) == 1 {
		delete(s.keys, m.to)
		return
	}
	i := slices.Index(keys, m.item.Key)
	s.keys[m.to] = slices.Concat(keys[:i], keys[i+1:])
}

// swept ends a sweep, which has removed so many items, and returns the recipients to be
// woken.
func (s *settler) swept(removed int) (resumed []recipientKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = nil
	if removed == 0 {
		s.wait = min(2*s.wait, maxSweepWait)
	} else {
		s.wait = 0
		for k := range s.paused {
			resumed = append(resumed, k)
		}
		s.paused = nil
		if s.unsettled == 0 {
			s.log.Info("delivered messages removed")
		}
	}
	if len(s.failed) > 0 {
		s.schedule()
	}
	return resumed
}

// stop retries all removals a last time, and returns after lastSweep at most.
func (s *settler) stop() {
	s.mu.Lock()
	s.stopped = true
	if s.timer != nil {
		s.timer.Stop()
	}
	unsettled := s.unsettled
	s.mu.Unlock()
	if unsettled == 0 {
		return
	}
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		s.sweep()
	}()
	select {
	case <-swept:
	case <-time.After(lastSweep):
	}
}
