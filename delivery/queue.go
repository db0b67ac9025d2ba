package delivery

import (
	"context"
	"time"

	"silod/sip"
)

// Queue is one Source's place in an engine.
type Queue struct {
	engine  *Engine
	bit     uint
	serve   func(device string) (Source, Sender)
	devices func(sip.AoR) []string // nil: a message is for whichever device takes it first
	settler settler
}

// Queue makes room for one more Source. A recipient's queues are served in the
// order in which they were made. Before Run, Serve or ServeDevices must say what
// is in it.
func (e *Engine) Queue() *Queue {
	q := &Queue{engine: e, bit: 1 << len(e.queues)}
	q.settler = settler{log: e.opt.Log, resume: q.resume, sweeping: make(chan struct{}, 1)}
	e.queues = append(e.queues, q)
	return q
}

// Serve names the Source and how its messages are sent: apart from Queue, because
// both usually need the Queue to be made.
func (q *Queue) Serve(s Source, by Sender) {
	q.serve = func(string) (Source, Sender) { return s, by }
}

// ServeDevices is Serve for a queue of which every device of an owner gets a copy,
// in its own time: one that is slow, or comes later, holds up none of the others.
// devices names an owner's devices, and by gives the Source and the Sender for one
// of them. Where devices are not known, their one name is "".
func (q *Queue) ServeDevices(devices func(sip.AoR) []string, by func(device string) (Source, Sender)) {
	q.devices, q.serve = devices, by
}

// Wake has the engine look whether something waits in this queue for an owner who
// is online. It never blocks, and no wake-up is lost: what was committed before
// Wake will be seen.
func (q *Queue) Wake(a sip.AoR) {
	if q.devices == nil {
		q.engine.wake(recipient{AoR: a}, q.bit)
		return
	}
	for _, device := range q.devices(a) {
		q.engine.wake(recipient{a, device}, q.bit)
	}
}

// resume wakes recipients to which nothing was sent because of this queue.
func (q *Queue) resume(rs []recipient) {
	for _, r := range rs {
		q.engine.wake(r, q.bit)
	}
}

// Wake has the engine look into all queues of an owner: one who has registered.
func (e *Engine) Wake(a sip.AoR) {
	look := uint(0)
	for _, q := range e.queues {
		if q.devices != nil {
			q.Wake(a)
		} else {
			look |= q.bit
		}
	}
	e.wake(recipient{AoR: a}, look)
}

// Pending reports whether messages are known to wait for an owner, in any queue.
func (e *Engine) Pending(a sip.AoR) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.owners[recipient{AoR: a}] != nil {
		return true
	}
	for _, q := range e.queues {
		if q.devices == nil {
			continue
		}
		for _, device := range q.devices(a) {
			if e.owners[recipient{a, device}] != nil {
				return true
			}
		}
	}
	return false
}

// Again has what is known to wait for an owner tried now, and not when its time comes.
func (e *Engine) Again(a sip.AoR) {
	e.again(recipient{AoR: a})
	for _, q := range e.queues {
		if q.devices == nil {
			continue
		}
		for _, device := range q.devices(a) {
			e.again(recipient{a, device})
		}
	}
}

func (e *Engine) again(r recipient) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.owners[r]; o != nil {
		e.hurry(r, o)
	}
}

// Busy tells whether something waits in this queue, or may, for an owner who was
// reachable when last tried. A new message must then join the queue: overtaking
// would break the order.
func (q *Queue) Busy(a sip.AoR) bool {
	q.engine.mu.Lock()
	defer q.engine.mu.Unlock()
	o := q.engine.owners[recipient{AoR: a}]
	return o != nil && (o.look|o.in)&q.bit != 0
}

// Clear tells whether nothing waits in this queue for an owner, so that a new
// message may go past it. While the engine is just looking, or delivering, it waits
// up to patience for the end of that: after a REGISTER that takes a millisecond.
func (q *Queue) Clear(ctx context.Context, a sip.AoR, patience time.Duration) bool {
	e := q.engine
	e.mu.Lock()
	o := e.owners[recipient{AoR: a}]
	if o == nil || (o.look|o.in)&q.bit == 0 {
		e.mu.Unlock()
		return true
	}
	if o.state == waiting {
		e.mu.Unlock()
		return false
	}
	if o.gone == nil {
		o.gone = make(chan struct{})
	}
	gone := o.gone
	e.mu.Unlock()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	case <-ctx.Done():
	}
	return !q.Busy(a)
}

// Hold keeps the engine from an owner while somebody else has a message in flight
// there, or while the owner comes online: what is sent meanwhile joins the queue.
// release, called once, ends that and has the queue looked at.
func (q *Queue) Hold(a sip.AoR) (release func()) {
	e := q.engine
	r := recipient{AoR: a}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owners[r]
	if o == nil {
		o = &owner{state: held}
		e.owners[r] = o
	}
	o.holds++
	o.look |= q.bit
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if o.holds--; o.holds == 0 && o.state == held && !e.stopped {
			e.start(r, o)
		}
	}
}
