// Package delivery is the one engine that brings queued messages to their
// recipients: stored messages, reminders and room traffic. It keeps the order of
// each recipient, has one message in flight per recipient (RFC 3428 section 8),
// retries with back-off, and loses no wake-up. Where messages wait is its
// Sources' business, and how one reaches a contact its Sender's.
//
// Locks: Engine.mu guards the table of recipients; it is held for map work only.
package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"silod/address"
	"silod/mi"
)

// Options are what an Engine needs. Zero numbers stand for the defaults given.
type Options struct {
	Log     *slog.Logger
	Workers int           // recipients served at once; 4,096
	Page    int           // items asked of a Source at once; 64
	Retry   time.Duration // first wait after a failure, doubled up to Most; 5 s
	Most    time.Duration // longest wait between tries; 5 min
}

// Engine delivers. Make it with New, give it its Sources with Queue, run it with
// Run, wake it with Wake.
type Engine struct {
	opt    Options
	queues []*Queue
	slots  chan struct{}

	mu      sync.Mutex
	owners  map[address.AoR]*owner
	ready   []address.AoR // to be started, in the order of waking
	signal  chan struct{} // has an element when ready may have one
	stopped bool

	workers   sync.WaitGroup
	Delivered mi.Counter
	Refused   mi.Counter
	Failed    mi.Counter   // attempts that came to nothing for now
	Latency   mi.Histogram // from sending to the answer
}

// Queue is one Source's place in an engine.
type Queue struct {
	engine *Engine
	bit    uint
	source Source
	sender Sender
}

// owner is the state of a recipient who has, or may have, something waiting and
// may be reachable. Nobody else has one.
type owner struct {
	state   state
	look    uint // queues that may have something, as bits
	in      uint // the queues that the worker is at
	holds   int  // somebody else has a message in flight to this owner
	retries int
	timer   *time.Timer
	gone    chan struct{} // closed when the owner is let go; nil while nobody asks
}

type state int

const (
	queued  state = iota // in ready
	working              // a worker has it
	waiting              // for its retry timer
	held                 // for the end of its holds
)

// New makes an engine; it starts nothing.
func New(opt Options) *Engine {
	if opt.Workers == 0 {
		opt.Workers = 4096
	}
	if opt.Page == 0 {
		opt.Page = 64
	}
	if opt.Retry == 0 {
		opt.Retry = 5 * time.Second
	}
	if opt.Most == 0 {
		opt.Most = 5 * time.Minute
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		opt:    opt,
		slots:  make(chan struct{}, opt.Workers),
		owners: make(map[address.AoR]*owner),
		signal: make(chan struct{}, 1),
	}
}

// Queue makes room for one more Source. A recipient's queues are served in the
// order in which they were made. Before Run, Serve must say what is in it.
func (e *Engine) Queue() *Queue {
	q := &Queue{engine: e, bit: 1 << len(e.queues)}
	e.queues = append(e.queues, q)
	return q
}

// Serve names the Source and how its messages are sent: apart from Queue, because
// both usually need the Queue to be made.
func (q *Queue) Serve(s Source, by Sender) { q.source, q.sender = s, by }

// Wake has the engine look whether something waits in this queue for an owner who
// is online. It never blocks, and no wake-up is lost: what was committed before
// Wake will be seen.
func (q *Queue) Wake(a address.AoR) { q.engine.wake(a, q.bit) }

// Busy tells whether something waits in this queue, or may, for an owner who was
// reachable when last tried. A new message must then join the queue: overtaking
// would break the order.
func (q *Queue) Busy(a address.AoR) bool {
	q.engine.mu.Lock()
	defer q.engine.mu.Unlock()
	o := q.engine.owners[a]
	return o != nil && (o.look|o.in)&q.bit != 0
}

// Clear tells whether nothing waits in this queue for an owner, so that a new
// message may go past it. While the engine is just looking, or delivering, it waits
// up to patience for the end of that: after a REGISTER that takes a millisecond.
func (q *Queue) Clear(ctx context.Context, a address.AoR, patience time.Duration) bool {
	e := q.engine
	e.mu.Lock()
	o := e.owners[a]
	if o == nil || (o.look|o.in)&q.bit == 0 {
		e.mu.Unlock()
		return true
	}
	if o.state == waiting || o.state == held {
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

// Wake has the engine look into all queues of an owner: one who has registered.
func (e *Engine) Wake(a address.AoR) { e.wake(a, 1<<len(e.queues)-1) }

func (e *Engine) wake(a address.AoR, look uint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	o := e.owners[a]
	if o == nil {
		e.owners[a] = &owner{look: look}
		e.push(a)
		return
	}
	o.look |= look
	if o.state == waiting && o.timer.Stop() {
		o.retries = 0
		e.start(a, o)
	}
}

// start makes an owner ready, or leaves it to the end of its holds. e.mu is held.
func (e *Engine) start(a address.AoR, o *owner) {
	if o.holds > 0 {
		o.state = held
		return
	}
	o.state = queued
	e.push(a)
}

// Hold keeps the engine from an owner while somebody else has a message in flight
// there: what is stored meanwhile joins the queue behind it. release, called once,
// ends that and has the queue looked at.
func (q *Queue) Hold(a address.AoR) (release func()) {
	e := q.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owners[a]
	if o == nil {
		o = &owner{state: held}
		e.owners[a] = o
	}
	o.holds++
	o.look |= q.bit
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if o.holds--; o.holds == 0 && o.state == held && !e.stopped {
			e.start(a, o)
		}
	}
}

// push makes an owner ready. e.mu is held.
func (e *Engine) push(a address.AoR) {
	e.ready = append(e.ready, a)
	select {
	case e.signal <- struct{}{}:
	default:
	}
}

// Active is the number of owners with something that is being delivered or waits
// to be tried again.
func (e *Engine) Active() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.owners)
}

// Run serves until ctx ends, then waits for the workers, whose sends end with ctx.
func (e *Engine) Run(ctx context.Context) error {
	defer e.workers.Wait()
	defer e.stop()
	for {
		a, ok := e.pop()
		if !ok {
			select {
			case <-ctx.Done():
				return nil
			case <-e.signal:
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case e.slots <- struct{}{}:
		}
		e.workers.Go(func() {
			defer func() { <-e.slots }()
			e.serve(ctx, a)
		})
	}
}

func (e *Engine) pop() (address.AoR, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ready) == 0 {
		return address.AoR{}, false
	}
	a := e.ready[0]
	e.ready = e.ready[1:]
	if len(e.ready) == 0 {
		e.ready = nil
	}
	e.owners[a].state = working
	return a, true
}

// stop lets nothing new in. What waits is in the Sources and is found at the next
// start.
func (e *Engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	for _, o := range e.owners {
		if o.timer != nil {
			o.timer.Stop()
		}
	}
}

// WakeWaiting wakes every owner for whom something waits and who is online. It is
// called once at the start, when bindings have been loaded.
func (e *Engine) WakeWaiting(ctx context.Context, online func(address.AoR) bool) error {
	for _, q := range e.queues {
		if err := q.source.Waiting(ctx, func(a address.AoR) {
			if online(a) {
				q.Wake(a)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// serve is one worker: it empties an owner's queues, or finds out that it cannot.
func (e *Engine) serve(ctx context.Context, a address.AoR) {
	left := uint(0)
	for v := Delivered; ; {
		look := e.next(ctx, a, v, left)
		if look == 0 {
			return
		}
		v, left = e.drain(ctx, a, look)
	}
}

// next takes the queues that are to be looked into, or, with none, lets the owner
// go: for good, or until its retry. v and left say how the last round ended, and
// which queues it did not empty.
func (e *Engine) next(ctx context.Context, a address.AoR, v Verdict, left uint) uint {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owners[a]
	o.in = 0
	if ctx.Err() != nil {
		e.letGo(a, o)
		return 0
	}
	if o.holds > 0 {
		o.look |= left
		o.state = held
		return 0
	}
	if o.look != 0 {
		o.in = o.look | left
		o.look = 0
		return o.in
	}
	if v != Undelivered {
		e.letGo(a, o)
		return 0
	}
	o.look, o.state = left, waiting
	wait := min(e.opt.Retry<<min(o.retries, 16), e.opt.Most)
	o.retries++
	o.timer = time.AfterFunc(wait, func() { e.retry(a, o) })
	return 0
}

// letGo forgets an owner for whom there is nothing to do. e.mu is held.
func (e *Engine) letGo(a address.AoR, o *owner) {
	delete(e.owners, a)
	if o.gone != nil {
		close(o.gone)
	}
}

func (e *Engine) retry(a address.AoR, o *owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.owners[a] != o || o.state != waiting {
		return
	}
	e.start(a, o)
}
