package delivery

import (
	"sync/atomic"
	"time"

	"silod/sip"
)

// A recipientKey names a recipient: a user, or one device of a user where every
// device gets its own copy.
type recipientKey struct {
	sip.AoR
	device string
}

// A recipient is the state of a user or device for which items may be waiting and which may
// be reachable, or that was sent to lately. A set of queues is a number with the bit of each
// queue.
//
// It has no lock and starts nothing: its methods change the state and return the
// action that the scheduler has to take.
type recipient struct {
	key       recipientKey
	state     state
	class     class
	pending   uint        // queues that may have items
	draining  uint        // queues that a worker passes through
	holds     int         // in effect, see Queue.Hold
	retries   int         // failed passes since the last success or REGISTER
	expedited bool        // expedite was called during a pass
	late      bool        // a request of this pass was without an answer for lateAfter
	woken     atomic.Bool // pending may have queues that the worker should look at now

	home     *group        // the scheduler's: of its destination; nil: not known
	place    place         // the scheduler's: where it waits for a worker
	work     work          // the scheduler's: while a worker has it
	active   bool          // the scheduler's: counted as not idle
	timer    *time.Timer   // the scheduler's, in state waiting
	dueAt    time.Time     // the scheduler's: when timer fires
	register register      // the scheduler's
	gone     chan struct{} // the scheduler's; closed when nothing waits any more; nil while unused
	signs    signs         // the worker's
	poison   poisonList    // the worker's
	absent   absentList    // the worker's
}

// signs tell how a recipient responds.
type signs struct {
	requests atomic.Uint32 // odd while one is under way
	last     sign          // of the last request
	failing  bool          // an item was not accepted, and none after it
	accepted bool          // an item was accepted since the last wait
}

// begin is called before a request, and end after its answer.
func (s *signs) begin() { s.requests.Add(1) }
func (s *signs) end()   { s.requests.Add(1) }

// note records the outcome of a request for an item that is neither partial nor poison.
func (s *signs) note(out Outcome) {
	s.failing = out.Verdict == Undelivered
	s.accepted = s.accepted || out.Verdict == Delivered || out.Verdict == Refused
	switch {
	case out.Verdict == Offline:
	case out.Verdict == Undelivered && !out.Answered:
		s.last = silence
	default:
		s.last = answered
	}
}

// A sign is the way in which a recipient responded to a request.
type sign int

const (
	unsent   sign = iota // nothing was sent
	answered             // a device answered
	silence              // none did
)

type state int

const (
	idle    state = iota // nothing waits
	queued               // for a worker
	working              // a worker has it
	waiting              // for its retry timer
	held                 // until its holds are released
)

// A class is how a recipient responded when it was last sent to. It decides which workers
// serve it.
type class int

const (
	unknown class = iota
	prompt        // it answered
	slow          // it answered late
	silent        // it did not answer
	classes       // their number
)

// An action is the scheduler's part of a change of state.
type action int

const (
	none    action = iota
	enqueue        // queue it for a worker
	proceed        // make a pass through the queues in draining
	wait           // call due after backOff
	forget         // nothing waits; drop the state, unless the class is of use
)

// wake records that queues may have items. A recipient that has not accepted the last item
// goes on waiting for its retry: otherwise each new message would send all that wait.
func (r *recipient) wake(bits uint) action {
	r.add(bits)
	if r.state == idle || r.state == waiting && !r.signs.failing {
		r.retries = 0
		return r.ready()
	}
	return none
}

// add notes that queues may have items, also for a worker that passes through others.
func (r *recipient) add(bits uint) {
	r.pending |= bits
	r.woken.Store(true)
}

// news is wake after a REGISTER.
func (r *recipient) news(bits uint) action {
	r.add(bits)
	if r.state == idle {
		if r.class == silent {
			r.class = unknown
		}
		return r.ready()
	}
	return r.expedite()
}

// wakeLater is wake, but a recipient that is new waits as after a failure.
func (r *recipient) wakeLater(bits uint) action {
	r.pending |= bits
	if r.state != idle {
		return none
	}
	r.state = waiting
	r.retries++
	return wait
}

// expedite ends a wait for a retry, also one that would begin after the pass in progress. A
// recipient that did not answer may do so now.
func (r *recipient) expedite() action {
	wasSilent := r.class == silent
	if wasSilent {
		r.class = unknown
	}
	switch r.state {
	case waiting:
		r.retries = 0
		return r.ready()
	case working:
		r.expedited = true
	case queued:
		if wasSilent {
			return enqueue // not behind others that do not answer
		}
	}
	return none
}

// ready queues the recipient unless it is held.
func (r *recipient) ready() action {
	if r.holds > 0 {
		r.state = held
		return none
	}
	r.state = queued
	return enqueue
}

// due is called when the time of backOff has passed. It does nothing if the wait has
// been ended by expedite.
func (r *recipient) due() action {
	if r.state != waiting {
		return none
	}
	return r.ready()
}

// begin is called when a worker takes the recipient. The next action is the same as after
// a pass that has left nothing.
func (r *recipient) begin() action {
	r.expedited, r.late, r.signs.last, r.signs.failing = false, false, unsent, false
	return r.finish(Delivered, 0)
}

// finish ends a pass with its verdict. left are the queues that the pass has not
// emptied.
func (r *recipient) finish(v Verdict, left uint) action {
	r.classify()
	r.woken.Store(false)
	expedited := r.expedited
	r.draining, r.expedited = 0, false
	switch {
	case r.holds > 0:
		r.pending |= left
		r.state = held
		return none
	case v == Undelivered && !expedited && (r.signs.failing || r.pending == 0):
		r.pending |= left
		r.state = waiting
		if r.signs.failing && r.signs.accepted {
			r.retries = 0
		}
		r.retries++
		r.signs.accepted = false
		return wait
	case r.pending != 0 || v == Undelivered:
		r.draining, r.pending = r.pending|left, 0
		r.state = working
		return proceed
	}
	r.state, r.retries = idle, 0
	return forget
}

// classify sets the class after a pass.
func (r *recipient) classify() {
	switch {
	case r.signs.last == silence:
		r.class = silent
	case r.signs.last == answered && r.late:
		r.class = slow
	case r.signs.last == answered:
		r.class = prompt
	}
}

// backOff returns the time until the next retry: first, doubled with every failed pass
// up to most.
func (r *recipient) backOff(first, most time.Duration) time.Duration {
	return min(first<<min(r.retries-1, 16), most)
}

// hold keeps the engine from sending until release is called. The queue counts as
// pending.
func (r *recipient) hold(bit uint) {
	if r.state == idle {
		r.state = held
	}
	r.holds++
	r.pending |= bit
}

// release ends one hold.
func (r *recipient) release() action {
	r.woken.Store(true)
	if r.holds--; r.holds > 0 || r.state != held {
		return none
	}
	r.state = queued
	return enqueue
}

// reset drops everything but the class, and where the recipient is.
func (r *recipient) reset() {
	r.state, r.pending, r.draining, r.retries = idle, 0, 0, 0
	r.place.group, r.active, r.timer, r.register, r.gone = nil, false, nil, register{}, nil
	r.poison, r.absent = poisonList{}, nil
}

// busy reports whether a queue may have items.
func (r *recipient) busy(bit uint) bool { return (r.pending|r.draining)&bit != 0 }
