package delivery

import (
	"context"
	"time"

	"silod/sip"
)

// A Queue connects one Source, with its Sender, to an engine.
type Queue struct {
	engine  *Engine
	bit     uint                   // stands for the queue in sets of queues
	devices func(sip.AoR) []string // nil: an item is for the first device that accepts it
	settler settler

	sourceAndSender func(device string) (Source, Sender) // "": for no particular device
}

// Queue adds a queue for one more Source. A recipient's queues take turns, and one that was
// added earlier comes first. Serve or ServeDevices must be called before Run.
func (e *Engine) Queue() *Queue {
	q := &Queue{engine: e, bit: 1 << len(e.queues)}
	q.settler = settler{
		log: e.opt.Log, resume: q.resume, sweeping: make(chan struct{}, 1), removed: newRemovedItems(),
	}
	e.queues = append(e.queues, q)
	return q
}

// Serve sets the Source and the Sender of its messages. It is not part of Engine.Queue,
// because both usually need the Queue.
func (q *Queue) Serve(source Source, sender Sender) {
	q.sourceAndSender = func(string) (Source, Sender) { return source, sender }
}

// ServeDevices is Serve for a queue of which every device of an owner gets a copy. A
// device that is slow, or comes later, delays no other device. devices returns the names
// of an owner's devices, sourceAndSender both for one of them. Where devices are not known,
// the only name is "".
func (q *Queue) ServeDevices(devices func(sip.AoR) []string, sourceAndSender func(device string) (Source, Sender)) {
	q.devices, q.sourceAndSender = devices, sourceAndSender
}

// Wake has the engine look for items in this queue for an owner that is online. It
// never blocks, and no wake-up is lost: an item that was committed before Wake is found.
func (q *Queue) Wake(a sip.AoR) {
	if q.devices == nil {
		q.engine.scheduler.wake(recipientKey{AoR: a}, q.bit)
		return
	}
	for _, device := range q.devices(a) {
		q.engine.scheduler.wake(recipientKey{a, device}, q.bit)
	}
}

// Retry is Wake, and ends a wait for a retry, for an administrator.
func (q *Queue) Retry(a sip.AoR) {
	q.Wake(a)
	q.engine.RetryNow(a)
}

// resume wakes recipients that the settler has paused.
func (q *Queue) resume(keys []recipientKey) {
	for _, k := range keys {
		q.engine.scheduler.wake(k, q.bit)
	}
	q.engine.scheduler.expedite(keys)
}

// Busy reports whether items may be waiting in this queue for an owner that was
// reachable when last tried. A new message must then join the queue, or it would
// overtake them.
func (q *Queue) Busy(a sip.AoR) bool {
	s := q.engine.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.recipients[recipientKey{AoR: a}]
	return r != nil && r.busy(q.bit)
}

// WaitEmpty reports whether no item waits in this queue for an owner, so that a new
// message need not join it. While a pass through the queue is due or in progress,
// WaitEmpty waits for its end, for patience at most: after a REGISTER a pass usually
// takes a millisecond.
func (q *Queue) WaitEmpty(ctx context.Context, a sip.AoR, patience time.Duration) bool {
	gone, empty := q.gone(a)
	if gone == nil {
		return empty
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case <-gone:
	case <-t.C:
	case <-ctx.Done():
	}
	return !q.Busy(a)
}

// gone returns a channel that is closed when the recipient is forgotten, which means that
// its queues are empty or it is offline. It returns nil if there is nothing to wait for:
// the queue is empty, or its items wait for a retry.
func (q *Queue) gone(a sip.AoR) (gone <-chan struct{}, empty bool) {
	s := q.engine.scheduler
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.recipients[recipientKey{AoR: a}]
	switch {
	case r == nil || !r.busy(q.bit):
		return nil, true
	case r.state == waiting:
		return nil, false
	case r.gone == nil:
		r.gone = make(chan struct{})
	}
	return r.gone, false
}

// Hold keeps the queue busy for an owner, and the engine from beginning a pass: while a
// message that the engine did not send is in flight to the owner, or while the owner
// registers. New messages join the queue meanwhile. release, called once, ends that and
// has the engine look into the queue.
func (q *Queue) Hold(a sip.AoR) (release func()) {
	s := q.engine.scheduler
	k := recipientKey{AoR: a}
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.recipient(k)
	r.hold(q.bit)
	s.apply(r, none)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if a := r.release(); !s.stopped {
			s.apply(r, a)
		}
	}
}

// Settle is called for an item that was delivered or refused by another way than this queue.
// settle does the part of the Source. Where that fails, the item is not sent again, and settle
// is called again with back-off, as for an item that the engine has sent. done is called when
// the first call has ended.
func (q *Queue) Settle(a sip.AoR, it Item, out Outcome, settle func(done func(error)), done func()) {
	m := &removal{to: recipientKey{AoR: a}, item: it, out: out, source: settleFunc(settle)}
	m.settle(func(err error) {
		q.settler.settled(m, err)
		done()
	})
}

type settleFunc func(done func(error))

// Settle implements remover.
func (f settleFunc) Settle(_ sip.AoR, _ *Item, _ Outcome, done func(error)) { f(done) }
