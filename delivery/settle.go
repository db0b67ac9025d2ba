package delivery

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// Bounds of a settler. Where one is reached, nothing new is sent until the Source
// removes items again: a pause is better than a repeat.
const (
	maxUnsettled    = 16_384 // in one queue, besides those that are being settled
	maxUnsettledFor = 256    // in one queue for one recipient; at least two pages

	sweepWait  = time.Second // doubled up to maxSweepWait while nothing can be removed
	sweepMost  = 30 * time.Second
	sweepBatch = 64 // removals that are retried at once

	lastSweep = 2 * time.Second // for the removals that are retried when the engine stops
)

// settler holds the items of one queue that were delivered or refused and that the
// Source could not remove: the database is away, or does not accept the statement.
// They are not sent again, and their removal is retried until it succeeds or the
// process ends.
//
// A failure is rarely one item's own. So a sweep retries a single removal first,
// and the others when that one has succeeded.
type settler struct {
	log    *slog.Logger
	resume func([]recipient) // wakes recipients that were paused

	sweeping chan struct{} // has an element during a sweep

	mu        sync.Mutex
	unsettled int // items in keys
	keys      map[recipient][]int64
	failed    []*removal             // to be retried, in this order
	paused    map[recipient]struct{} // recipients to which nothing is sent for now
	wait      time.Duration          // until the next sweep
	timer     *time.Timer            // the next sweep; nil: none is due or running
	stopped   bool
}

// remover is the part of a Source that a settler needs.
type remover interface {
	Settle(owner sip.AoR, it *Item, out Outcome, done func(error))
}

// removal is an item that is to be removed from its Source.
type removal struct {
	to     recipient
	source remover
	item   Item
	out    Outcome
}

// keysOf returns the keys of a recipient's items that must not be sent again. It is
// to be called before the Source is read: an item that was read may be removed, and
// its key forgotten, before it is looked at.
func (s *settler) keysOf(r recipient) []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[r]
}

// full reports whether so many more items for a recipient, in addition to those being
// settled now, could exceed a bound.
func (s *settler) full(r recipient, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isFull(r, more)
}

func (s *settler) isFull(r recipient, more int) bool {
	return s.unsettled >= maxUnsettled || len(s.keys[r])+more > maxUnsettledFor
}

// pause reports whether a bound is reached. If so, the recipient is woken when items
// have been removed.
func (s *settler) pause(r recipient, more int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isFull(r, more) {
		return false
	}
	if s.paused == nil {
		s.paused = make(map[recipient]struct{})
	}
	s.paused[r] = struct{}{}
	return true
}

// add takes an item that could not be removed.
func (s *settler) add(m *removal, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.keys[m.to], m.item.Key) {
		return
	}
	if s.keys == nil {
		s.keys = make(map[recipient][]int64)
	}
	if s.unsettled++; s.unsettled == 1 {
		s.log.Warn("delivered messages not removed", "owner", m.to.AoR, "call_id", m.item.CallID, "error", err)
	}
	s.keys[m.to] = append(s.keys[m.to], m.item.Key)
	s.failed = append(s.failed, m)
	s.schedule()
}

// schedule has a sweep run after s.wait, unless one is due or running. s.mu is held.
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

// take takes the first removals, n at most.
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

// retry retries removals and returns how many have failed again.
func (s *settler) retry(batch []*removal) (left int) {
	var open settling
	for _, m := range batch {
		open.begin()
		settle(m.source, m.to, &m.item, m.out, func(err error) {
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

// forget drops an item that was removed. The array of keys may be in use. s.mu is
// held.
func (s *settler) forget(m *removal) {
	i := slices.Index(s.keys[m.to], m.item.Key)
	if i < 0 {
		return
	}
	s.unsettled--
	if keys := slices.Concat(s.keys[m.to][:i], s.keys[m.to][i+1:]); len(keys) > 0 {
		s.keys[m.to] = keys
	} else {
		delete(s.keys, m.to)
	}
}

// swept ends a sweep that has removed so many items, and returns the recipients that
// are to be woken.
func (s *settler) swept(removed int) (paused []recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = nil
	if removed == 0 {
		s.wait = min(2*s.wait, sweepMost)
	} else {
		s.wait = 0
		for r := range s.paused {
			paused = append(paused, r)
		}
		s.paused = nil
	}
	if len(s.failed) > 0 {
		s.schedule()
	} else if removed > 0 && s.unsettled == 0 {
		s.log.Info("delivered messages removed")
	}
	return paused
}

// stop retries all removals once more, for lastSweep at most, and no more after that.
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

// settle has an item removed from its Source. A panic is an error as others are.
func settle(source remover, r recipient, it *Item, out Outcome, done func(error)) {
	defer func() {
		if p := recover(); p != nil {
			done(fmt.Errorf("panic: %v", p))
		}
	}()
	source.Settle(r.AoR, it, out, done)
}

// Removed is what the engine does after Settle for an item that reached the owner by
// another way: the item is not sent again, and remove, which is Settle's last step, is
// called again until it succeeds. done is called after the first call has ended.
func (q *Queue) Removed(a sip.AoR, key int64, remove func(key int64, done func(error)), done func()) {
	m := &removal{to: recipient{AoR: a}, source: removeFunc(remove), item: Item{Key: key}, out: Outcome{Verdict: Delivered}}
	settle(m.source, m.to, &m.item, m.out, func(err error) {
		if err != nil {
			q.settler.add(m, err)
		}
		done()
	})
}

type removeFunc func(key int64, done func(error))

// Settle implements remover.
func (f removeFunc) Settle(_ sip.AoR, it *Item, _ Outcome, done func(error)) { f(it.Key, done) }

// settling counts removals whose outcome is not known yet.
type settling struct {
	mu   sync.Mutex
	open int
	none chan struct{} // closed when open is 0 again; nil while nothing waits for that
}

func (s *settling) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open++
}

func (s *settling) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open--; s.open == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

func (s *settling) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// wait waits until every outcome is known, without a turn where t is not nil.
func (s *settling) wait(t *turns) {
	s.mu.Lock()
	if s.open == 0 {
		s.mu.Unlock()
		return
	}
	none := make(chan struct{})
	s.none = none
	s.mu.Unlock()
	if t == nil {
		<-none
		return
	}
	t.without(func() { <-none })
}
