package delivery

import (
	"slices"
	"sync"
	"time"
)

// A scheduler decides which recipient is served next. Recipients that are woken one by
// one come first, in the order of waking; behind them, alternately, recipients that are
// retried and those of broadcasts.
type scheduler struct {
	signal chan struct{} // has an element when there may be work

	mu         sync.Mutex // held for map and list operations only
	settings   Settings
	missed     bool // recipients with items may be unknown, see Engine.revisit
	recipients map[recipientKey]*recipient
	ready      []recipientKey
	retryList  []recipientKey
	broadcasts broadcasts
	retryFirst bool // the retry list comes next
	stopped    bool
}

// wake notes that queues may have items for a recipient.
func (s *scheduler) wake(k recipientKey, bits uint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wakeLocked(k, bits)
}

// wakeLocked is wake with s.mu held.
func (s *scheduler) wakeLocked(k recipientKey, bits uint) {
	if s.stopped || bits == 0 {
		return
	}
	r := s.recipient(k)
	s.apply(k, r, r.wake(bits))
}

// recipient returns the state of a recipient, a new one if it has none. s.mu is held.
func (s *scheduler) recipient(k recipientKey) *recipient {
	r := s.recipients[k]
	if r == nil {
		r = new(recipient)
		s.recipients[k] = r
	}
	return r
}

// apply takes the action that a recipient has returned. s.mu is held.
func (s *scheduler) apply(k recipientKey, r *recipient, a action) {
	switch a {
	case none, proceed:
	case enqueue:
		if r.timer != nil {
			r.timer.Stop()
			r.timer = nil
		}
		s.ready = append(s.ready, k)
		s.notify()
	case enqueueRetry:
		s.retryList = append(s.retryList, k)
		s.notify()
	case wait:
		if len(s.recipients) > maxRecipients {
			s.missed = true
			s.apply(k, r, forget)
			return
		}
		r.timer = time.AfterFunc(r.backOff(s.settings.Retry, s.settings.MaxRetry), func() { s.due(k, r) })
	case forget:
		delete(s.recipients, k)
		if r.gone != nil {
			close(r.gone)
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
func (s *scheduler) due(k recipientKey, r *recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && s.recipients[k] == r {
		s.apply(k, r, r.due())
	}
}

// expedite makes recipients that wait for a retry ready.
func (s *scheduler) expedite(keys []recipientKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if r := s.recipients[k]; r != nil && !s.stopped {
			s.apply(k, r, r.expedite())
		}
	}
}

// known reports whether items may wait for one of the recipients.
func (s *scheduler) known(keys []recipientKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(keys, func(k recipientKey) bool { return s.recipients[k] != nil })
}

// isHeld reports whether a hold on a recipient is in effect, see Queue.Hold.
func (s *scheduler) isHeld(k recipientKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.recipients[k]
	return r != nil && r.holds > 0
}

// hasWork reports whether a recipient is to be served. Retries and broadcasts count only
// if spare is set: a worker can be spared for them.
func (s *scheduler) hasWork(spare bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ready) > 0 || spare && len(s.retryList)+len(s.broadcasts.list) > 0
}

// next returns the next recipient that is to be served, nil if there is none. spare is as
// for hasWork.
func (s *scheduler) next(spare bool) (recipientKey, *recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.ready) == 0 {
			if !spare || !s.refill() {
				return recipientKey{}, nil
			}
		}
		k := s.ready[0]
		if s.ready = s.ready[1:]; len(s.ready) == 0 {
			s.ready = nil
		}
		r := s.recipients[k]
		a := r.begin()
		if a == proceed {
			return k, r
		}
		s.apply(k, r, a)
	}
}

// refill takes an entry from the retry list or a member from a broadcast, alternately,
// and makes its recipient ready. It reports false if there is neither. When it reports
// true, the ready list may still be empty: the entry was void, or the recipient is being
// served already. s.mu is held.
func (s *scheduler) refill() bool {
	s.retryFirst = !s.retryFirst
	if s.retryFirst {
		return s.refillRetry() || s.refillBroadcast()
	}
	return s.refillBroadcast() || s.refillRetry()
}

func (s *scheduler) refillRetry() bool {
	if len(s.retryList) == 0 {
		return false
	}
	k := s.retryList[0]
	if s.retryList = s.retryList[1:]; len(s.retryList) == 0 {
		s.retryList = nil
	}
	if r := s.recipients[k]; r != nil && r.retry() {
		s.ready = append(s.ready, k)
	}
	return true
}

func (s *scheduler) refillBroadcast() bool {
	q, a, ok := s.broadcasts.next()
	if ok {
		s.wakeLocked(recipientKey{AoR: a}, q.bit)
	}
	return ok
}

// finish ends a pass and reports whether the worker has to make another one. If ended is
// set, the engine stops, and the recipient is forgotten.
func (s *scheduler) finish(k recipientKey, r *recipient, v Verdict, left uint, ended bool) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := forget
	if !ended {
		a = r.finish(v, left)
	}
	s.apply(k, r, a)
	return a == proceed
}

// active returns the number of recipients for which items may wait.
func (s *scheduler) active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.recipients)
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
