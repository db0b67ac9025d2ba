// Package delivery is the one engine that brings queued messages to their
// recipients: stored messages, reminders, notices and room traffic. It keeps the
// order of each recipient, has one message in flight per recipient (RFC 3428
// section 8), retries with back-off, and loses no wake-up. Where messages wait is
// its Sources' business, and how one reaches a contact its Sender's.
//
// Locks: Engine.mu guards the table of recipients; it is held for map work only.
// turns, settling and settler guard themselves and call nothing while they do.
package delivery

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"silod/mi"
	"silod/sip"
)

// Options are what an Engine needs. Zero numbers stand for the defaults given.
type Options struct {
	Log     *slog.Logger
	Workers int           // recipients served at once; 8,192
	Page    int           // items asked of a Source at once; 64
	Retry   time.Duration // first wait after a failure, doubled up to Most; 5 s
	Most    time.Duration // longest wait between tries; 5 min
}

// Engine delivers. Make it with New, give it its Sources with Queue, run it with
// Run, wake it with Wake.
type Engine struct {
	opt    Options
	queues []*Queue
	slots  chan struct{} // a token for each worker that has something to do
	turns  *turns
	jobs   chan struct{} // slot and turn for a worker that waits
	idle   atomic.Int64  // workers that do

	mu     sync.Mutex
	owners map[recipient]*owner
	ready  []recipient // to be started, in the order of waking
	late   []recipient // to be started behind those: they are tried anew
	crowds crowds      // to be woken beside those

	lateFirst bool          // whose turn it is
	signal    chan struct{} // has an element when ready may have one
	stopped   bool

	workers   sync.WaitGroup
	Delivered mi.Counter
	Refused   mi.Counter
	Failed    mi.Counter   // attempts that came to nothing for now
	Latency   mi.Histogram // from sending to the answer
}

// recipient is who is served one message at a time: a user, or one device of a
// user, where every device gets its own copy.
type recipient struct {
	sip.AoR
	device string
}

// owner is the state of a recipient who has, or may have, something waiting and
// may be reachable. Nobody else has one.
type owner struct {
	state   state
	look    uint // queues that may have something, as bits
	in      uint // the queues that the worker is at
	late    bool // queued in late, and not in ready
	holds   int  // somebody else has a message in flight to this owner
	retries int
	timer   *time.Timer
	gone    chan struct{} // closed when the owner is let go; nil while nobody asks
	trouble trouble       // the worker's
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
		opt.Workers = 8192
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
		turns:  newTurns(max(1, runtime.GOMAXPROCS(0)-1)),
		owners: make(map[recipient]*owner),
		jobs:   make(chan struct{}),
		signal: make(chan struct{}, 1),
	}
}

func (e *Engine) wake(r recipient, look uint) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wakeLocked(r, look)
}

// wakeLocked is wake with e.mu held.
func (e *Engine) wakeLocked(r recipient, look uint) {
	if e.stopped || look == 0 {
		return
	}
	o := e.owners[r]
	if o == nil {
		e.owners[r] = &owner{look: look}
		e.push(r)
		return
	}
	o.look |= look
	e.hurry(r, o)
}

// start makes an owner ready, or leaves it to the end of its holds. e.mu is held.
func (e *Engine) start(r recipient, o *owner) {
	if o.holds > 0 {
		o.state = held
		return
	}
	o.state = queued
	e.push(r)
}

// push makes an owner ready. e.mu is held.
func (e *Engine) push(r recipient) {
	e.ready = append(e.ready, r)
	e.call()
}

// call has Run look for who is ready.
func (e *Engine) call() {
	select {
	case e.signal <- struct{}{}:
	default:
	}
}

// Active is the number of recipients with something that is being delivered or
// waits to be tried again.
func (e *Engine) Active() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.owners)
}

// Run serves until ctx ends, then waits for the workers, whose sends end with ctx.
func (e *Engine) Run(ctx context.Context) error {
	defer e.settle()
	defer e.workers.Wait()
	defer e.stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.signal:
		}
		for e.waiting() {
			select {
			case <-ctx.Done():
				return nil
			case e.slots <- struct{}{}:
			}
			e.turns.begin()
			select {
			case e.jobs <- struct{}{}:
			default:
				e.workers.Go(func() { e.work(ctx) })
			}
		}
	}
}

// work is a worker. Its slot and its turn were taken for it, so that there are no more
// workers than have something to do. Some stay when there is nothing: their stacks have
// grown to what is needed.
func (e *Engine) work(ctx context.Context) {
	for {
		e.serveReady(ctx)
		if e.idle.Add(1) > idleWorkers {
			e.idle.Add(-1)
			return
		}
		select {
		case <-e.jobs:
			e.idle.Add(-1)
		case <-ctx.Done():
			e.idle.Add(-1)
			return
		}
	}
}

// idleWorkers is how many workers wait for the next job instead of ending.
const idleWorkers = 128

// serveReady serves recipients for as long as some are ready, and gives slot and turn
// back.
func (e *Engine) serveReady(ctx context.Context) {
	defer func() {
		<-e.slots
		if e.waiting() {
			e.call()
		}
	}()
	defer e.turns.end()
	for {
		r, o, ok := e.pop()
		if !ok {
			return
		}
		e.serve(ctx, r, o)
	}
}

// waiting tells whether somebody is ready to be served.
func (e *Engine) waiting() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ready) > 0 || len(e.late)+len(e.crowds.line) > 0 && e.spare(1)
}

func (e *Engine) pop() (recipient, *owner, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.ready) == 0 && e.spare(0) {
		if e.lateFirst = !e.lateFirst; e.lateFirst { // one of these, one of those
			if !e.tryLate() && !e.wakeNext() {
				break
			}
		} else if !e.wakeNext() && !e.tryLate() {
			break
		}
	}
	if len(e.ready) == 0 {
		return recipient{}, nil, false
	}
	r := e.ready[0]
	e.ready = e.ready[1:]
	if len(e.ready) == 0 {
		e.ready = nil
	}
	o := e.owners[r]
	o.state = working
	return r, o, true
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

// settle retries removals that have failed, for the last time.
func (e *Engine) settle() {
	var all sync.WaitGroup
	for _, q := range e.queues {
		all.Go(q.settler.stop)
	}
	all.Wait()
}

// WakeWaiting wakes every owner for whom something waits and who is online. It is
// called once at the start, when bindings have been loaded.
func (e *Engine) WakeWaiting(ctx context.Context, online func(sip.AoR) bool) error {
	for _, q := range e.queues {
		source, _ := q.serve("")
		if err := source.Waiting(ctx, func(a sip.AoR) {
			if online(a) {
				q.Wake(a)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// serve is one worker: it empties a recipient's queues, or finds out that it cannot.
func (e *Engine) serve(ctx context.Context, r recipient, o *owner) {
	left := uint(0)
	for v := Delivered; ; {
		look := e.next(ctx, r, v, left)
		if look == 0 {
			return
		}
		v, left = e.attempt(ctx, r, o, look)
	}
}

// attempt is drain, in which a panic is a failure like others.
func (e *Engine) attempt(ctx context.Context, r recipient, o *owner, look uint) (v Verdict, left uint) {
	defer func() {
		if p := recover(); p != nil {
			e.panicked(r, p)
			v, left = Undelivered, look
		}
	}()
	return e.drain(ctx, r, &o.trouble, look)
}

func (e *Engine) panicked(r recipient, p any) {
	e.opt.Log.Error("panic while delivering", "owner", r.AoR, "panic", p, "stack", string(debug.Stack()))
}

// next takes the queues that are to be looked into, or, with none, lets the owner
// go: for good, or until its retry. v and left say how the last round ended, and
// which queues it did not empty.
func (e *Engine) next(ctx context.Context, r recipient, v Verdict, left uint) uint {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owners[r]
	o.in = 0
	if ctx.Err() != nil {
		e.letGo(r, o)
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
		e.letGo(r, o)
		return 0
	}
	o.look, o.state = left, waiting
	wait := min(e.opt.Retry<<min(o.retries, 16), e.opt.Most)
	o.retries++
	o.timer = time.AfterFunc(wait, func() { e.retry(r, o) })
	return 0
}

// letGo forgets an owner for whom there is nothing to do. e.mu is held.
func (e *Engine) letGo(r recipient, o *owner) {
	delete(e.owners, r)
	if o.gone != nil {
		close(o.gone)
	}
}
