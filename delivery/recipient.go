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

// A recipient is the state of a user or device for which items may be waiting and
// which may be reachable. Others have none: they are forgotten. A set of queues is a
// number with the bit of each queue.
//
// It has no lock and starts nothing: its methods change the state and return the
// action that the scheduler has to take.
type recipient struct {
	state    state
	pending  uint        // queues that may have items
	draining uint        // queues that a worker passes through
	holds    int         // in effect, see Queue.Hold
	retries  int         // failed passes; 0 again when a wake-up ends the wait
	woken    atomic.Bool // pending may have queues that the worker should look at now

	timer  *time.Timer   // the scheduler's, in state waiting
	gone   chan struct{} // the scheduler's; closed when the recipient is forgotten; nil while unused
	poison poisonList    // the worker's
	absent absentList    // the worker's
}

type state int

const (
	idle     state = iota // new
	queued                // in the ready list
	retrying              // in the retry list
	working               // a worker has it
	waiting               // for its retry timer
	held                  // until its holds are released
)

// An action is the scheduler's part of a change of state.
type action int

const (
	none         action = iota
	enqueue             // append to the ready list
	enqueueRetry        // append to the retry list
	proceed             // make a pass through the queues in draining
	wait                // call due after backOff
	forget              // drop the state
)

// wake records that queues may have items. A recipient that waits for a retry becomes
// ready.
func (r *recipient) wake(bits uint) action {
	r.pending |= bits
	r.woken.Store(true)
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

// expedite makes a recipient ready that is new or waits for a retry.
func (r *recipient) expedite() action {
	switch r.state {
	case idle:
		return r.ready()
	case waiting:
		r.retries = 0
		return r.ready()
	case retrying: // the entry in the retry list is void now
		r.state = queued
		return enqueue
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
	switch {
	case r.state != waiting:
		return none
	case r.holds > 0:
		r.state = held
		return none
	}
	r.state = retrying
	return enqueueRetry
}

// retry moves the recipient from the retry list to a worker. It reports false for a
// void entry.
func (r *recipient) retry() bool {
	if r.state != retrying {
		return false
	}
	r.state = queued
	return true
}

// begin is called when a worker takes the recipient. The next action is the same as after
// a pass that has left nothing.
func (r *recipient) begin() action { return r.finish(Delivered, 0) }

// finish ends a pass with its verdict. left are the queues that the pass has not
// emptied.
func (r *recipient) finish(v Verdict, left uint) action {
	r.draining = 0
	r.woken.Store(false)
	switch {
	case r.holds > 0:
		r.pending |= left
		r.state = held
		return none
	case r.pending != 0:
		r.draining, r.pending = r.pending|left, 0
		r.state = working
		return proceed
	case v != Undelivered:
		return forget
	}
	r.pending = left
	r.state = waiting
	r.retries++
	return wait
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

// busy reports whether a queue may have items.
func (r *recipient) busy(bit uint) bool { return (r.pending|r.draining)&bit != 0 }
