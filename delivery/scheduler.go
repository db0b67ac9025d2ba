package delivery

import (
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// A scheduler decides which recipient is served next. Prompt recipients that are woken one by
// one come first; behind them the prompt ones of rooms, then those of which nothing is known,
// then all others. In each class the rooms and destinations take turns, see group. pools bounds
// the workers of each.
type scheduler struct {
	signal      chan struct{}        // has an element when there may be work
	destination func(sip.AoR) string // see Options.Destination; nil: the domain

	mu         sync.Mutex // held for map and list operations only
	settings   Settings
	missed     bool // recipients with items may be unknown, see Engine.revisit
	recipients map[recipientKey]*recipient
	active     int // of these, recipients for which items may wait
	groups     groups
	rings      [lines]ring
	broadcasts broadcasts
	pools      pools
	stopped    bool
}

// maxIdle limits the recipients that are remembered although nothing waits for them.
const maxIdle = 32_768

// wake notes that queues may have items for a recipient.
func (s *scheduler) wake(k recipientKey, bits uint) { s.with(k, bits, (*recipient).wake) }

// with applies a step to a recipient and takes the action that it returns. A recipient that
// waits for its turn among the members of a room then waits among those that are woken one by
// one.
func (s *scheduler) with(k recipientKey, bits uint, step func(*recipient, uint) action) {
	if s.tryWith(k, bits, step, nil) {
		return
	}
	home := groupName{destination: k.Domain}
	if s.destination != nil {
		home.destination = s.destination(k.AoR) // takes locks, so s.mu is not held
	}
	s.tryWith(k, bits, step, &home)
}

// tryWith is with where the destination of the recipient is home. If that is nil and has
// to be known, tryWith does nothing and returns false.
func (s *scheduler) tryWith(k recipientKey, bits uint, step func(*recipient, uint) action, home *groupName) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return true
	}
	r := s.recipients[k]
	if home == nil && (r == nil || r.home == nil) {
		return false
	}
	r = s.recipient(k)
	if home != nil {
		r.home = s.groups.get(*home)
		defer s.groups.drop(r.home)
	}
	moves := r.state == queued && r.class != silent && r.place.group.name.room != nil
	if moves || r.state == idle || r.place.group == nil {
		r.place.group = r.home
	}
	a := step(r, bits)
	if moves {
		a = enqueue
	}
	s.apply(r, a)
	return true
}

// recipient returns the state of a recipient, a new one if it has none. s.mu is held.
func (s *scheduler) recipient(k recipientKey) *recipient {
	r := s.recipients[k]
	if r == nil {
		r = &recipient{key: k}
		s.recipients[k] = r
	}
	return r
}

// apply takes the action that a recipient has returned. s.mu is held.
func (s *scheduler) apply(r *recipient, a action) {
	if now := r.state != idle; now != r.active {
		if r.active = now; now {
			s.active++
		} else {
			s.active--
		}
	}
	switch a {
	case none, proceed:
	case enqueue:
		s.enqueue(r)
	case wait:
		if s.active > maxRecipients {
			s.missed = true
			s.forget(r)
			return
		}
		s.startTimer(r, r.register.shorten(r.backOff(s.settings.Retry, s.settings.MaxRetry)))
	case forget:
		s.forget(r)
	}
}

// enqueue has a recipient wait for a worker. s.mu is held.
func (s *scheduler) enqueue(r *recipient) {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	if r.place.group == nil { // it was held, and no queue was woken
		r.place.group = s.groups.get(groupName{destination: r.key.Domain})
	}
	r.place.group = s.groups.current(r.place.group)
	r.place.number++
	at := lineOf(r)
	s.rings[at].push(at, entry{r, r.place.number})
	s.notify()
}

// startTimer has due called. s.mu is held.
func (s *scheduler) startTimer(r *recipient, d time.Duration) {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.dueAt = time.Now().Add(d)
	r.timer = time.AfterFunc(d, func() { s.due(r) })
}

// forget drops the state of a recipient, unless its class is of use. s.mu is held.
func (s *scheduler) forget(r *recipient) {
	if r.gone != nil {
		close(r.gone)
	}
	if r.active {
		s.active--
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.reset()
	switch {
	case r.class == unknown:
		delete(s.recipients, r.key)
	case len(s.recipients)-s.active > maxIdle:
		s.evict()
	}
}

// evict forgets any idle recipients until maxIdle are left. s.mu is held.
func (s *scheduler) evict() {
	for k, other := range s.recipients {
		if len(s.recipients)-s.active <= maxIdle {
			break
		}
		if other.state == idle {
			delete(s.recipients, k)
		}
	}
}

// notify has the workers look for work.
func (s *scheduler) notify() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// due is called by a recipient's retry timer.
func (s *scheduler) due(r *recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && s.recipients[r.key] == r && !time.Now().Before(r.dueAt) {
		s.apply(r, r.due())
	}
}

// expedite ends the wait for a retry of recipients.
func (s *scheduler) expedite(keys []recipientKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if r := s.recipients[k]; r != nil && !s.stopped {
			s.apply(r, r.expedite())
		}
	}
}

// known reports whether items may wait for one of the recipients.
func (s *scheduler) known(keys []recipientKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(keys, func(k recipientKey) bool { r := s.recipients[k]; return r != nil && r.active })
}

// isHeld reports whether a hold on a recipient is in effect, see Queue.Hold.
func (s *scheduler) isHeld(k recipientKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.recipients[k]
	return r != nil && r.holds > 0
}

// expandAtOnce is the number of members of rooms that are woken while scheduler.mu is held.
const expandAtOnce = 64

// next returns the next recipient that is to be served, nil if there is none that can have
// a worker.
func (s *scheduler) next() *recipient {
	for {
		r, more := s.tryNext()
		if r != nil || !more {
			return r
		}
	}
}

// tryNext is next, but it also returns nil when it has woken a few members of rooms, and then
// reports that there may be more.
func (s *scheduler) tryNext() (r *recipient, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for woken := 0; !s.stopped; {
		var at line
		r, at = s.pick()
		if r == nil && s.expand() {
			if woken++; woken < expandAtOnce {
				continue
			}
			return nil, true
		}
		if r == nil {
			r, at = s.pickLate()
		}
		if r == nil {
			return nil, false
		}
		if a := r.begin(); a != proceed {
			s.apply(r, a)
			continue
		}
		s.pools.begin(r, at)
		s.lookLater()
		return r, false
	}
	return nil, false
}

// pick takes a recipient that is prompt, or of which nothing is known, from its line. s.mu is
// held.
func (s *scheduler) pick() (*recipient, line) {
	for _, at := range [...]line{personal, stranger, line(prompt), line(unknown)} {
		if r := s.pop(at); r != nil {
			return r, at
		}
	}
	return nil, 0
}

// pickLate takes a recipient that is slow or silent from its line. s.mu is held.
func (s *scheduler) pickLate() (*recipient, line) {
	for _, at := range [...]line{line(slow), line(silent)} { // each has workers of its own
		if r := s.pop(at); r != nil {
			return r, at
		}
	}
	return nil, 0
}

// pop takes the next recipient of a line that can have a worker. s.mu is held.
func (s *scheduler) pop(at line) *recipient {
	if len(s.rings[at].groups) == 0 || !s.pools.may(at) {
		return nil
	}
	return s.rings[at].pop(at, func(g *group) bool { return s.pools.share(at, g) }, s.groups.drop)
}

// finish ends a pass and reports whether the worker has to make another one. If ended is
// set, the engine stops, and the recipient is forgotten.
func (s *scheduler) finish(r *recipient, v Verdict, left uint, ended bool) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := forget
	if !ended {
		a = r.finish(v, left)
	}
	if a == proceed {
		return true
	}
	s.pools.end(r)
	group := r.place.group // apply may reset it
	s.apply(r, a)
	s.groups.drop(group)
	return false
}

// lookLater has look called. s.mu is held.
func (s *scheduler) lookLater() {
	if !s.pools.looking && len(s.pools.list) > 0 && !s.stopped {
		s.pools.looking = true
		time.AfterFunc(lookEvery, s.look)
	}
}

// look finds the recipients that are late. Others can be served in their place.
func (s *scheduler) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pools.looking = false
	s.pools.look()
	s.lookLater()
	s.notify()
}

// count returns the number of recipients for which items may wait.
func (s *scheduler) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// stop accepts no more wake-ups. Items that wait are found by WakeWaiting after the
// next start.
func (s *scheduler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for _, r := range s.recipients {
		if r.timer != nil {
			r.timer.Stop()
		}
	}
}
