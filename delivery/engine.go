// Package delivery is the engine that sends queued messages to their recipients:
// stored messages, reminders, notices and room traffic. It keeps the order of each
// recipient, has one message in flight per recipient (RFC 3428 section 8), retries
// with back-off and loses no wake-up. A message that a device has accepted is not
// sent again while the process lives. Sources hold the messages; a Sender knows how
// to reach a contact.
//
// An owner is the user that items are addressed to. A recipient is an owner, or one device
// of an owner in a queue of which every device gets a copy. A scheduler selects the recipient
// that is served next, a worker makes a pass through its queues, and a settler of each
// queue retries removals that have failed. An item that its recipient never accepts is
// poison: it is sent behind all others and so does not block them.
//
// Locks: scheduler.mu guards the table of recipients and is held for map operations
// only. cpuSlots, settler and openRemovals guard themselves. No lock is held while
// another one is taken, and none during a call of a Source or Sender.
package delivery

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"silod/mi"
	"silod/sip"
)

// Options are the parameters of New. Zero numbers stand for the defaults given.
type Options struct {
	Log     *slog.Logger
	Workers int // by which the workers of each kind of recipient are reckoned, see pools; 8,192
	Page    int // items asked of a Source at once; 64

	Now func() time.Time // the time by which items expire; nil: time.Now

	// Destination returns the address or the domain to which messages for an owner are sent:
	// recipients with the same one share workers. nil: their domain.
	Destination func(sip.AoR) string

	// Reachable reports whether an item for an owner can be tried without waiting for a
	// REGISTER. nil: for no owner. See Engine.revisit.
	Reachable func(sip.AoR) bool
}

// Settings can be changed by Configure while an Engine runs. Zero values stand for the
// defaults given.
type Settings struct {
	Retry    time.Duration // first wait after a failure, doubled up to MaxRetry; 5 s
	MaxRetry time.Duration // longest wait between tries; 5 min
}

// An Engine delivers messages. Queue adds a Source, Run serves until it is stopped, Wake
// reports that a user can be reached.
type Engine struct {
	opt       Options
	queues    []*Queue
	scheduler *scheduler
	workers   *workers

	Delivered mi.Counter
	Refused   mi.Counter
	Failed    mi.Counter   // attempts without success for now
	Latency   mi.Histogram // from sending to the answer
}

// New returns an engine. It starts nothing.
func New(opt Options) *Engine {
	if opt.Workers == 0 {
		opt.Workers = 8192
	}
	if opt.Page == 0 {
		opt.Page = 64
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{opt: opt}
	e.scheduler = &scheduler{
		signal:      make(chan struct{}, 1),
		destination: opt.Destination,
		recipients:  make(map[recipientKey]*recipient),
		groups:      make(groups),
		pools:       pools{total: opt.Workers},
	}
	e.Configure(Settings{})
	e.workers = &workers{
		scheduler: e.scheduler,
		serve:     e.serve,
		cpu:       newCPUSlots(max(1, runtime.GOMAXPROCS(0)-1)),
		jobs:      make(chan *recipient),
	}
	return e
}

// Configure replaces the settings. They apply to the next wait for a retry.
func (e *Engine) Configure(set Settings) {
	if set.Retry == 0 {
		set.Retry = 5 * time.Second
	}
	if set.MaxRetry == 0 {
		set.MaxRetry = 5 * time.Minute
	}
	e.scheduler.configure(set)
}

// Settings returns the settings in force.
func (e *Engine) Settings() Settings {
	e.scheduler.mu.Lock()
	defer e.scheduler.mu.Unlock()
	return e.scheduler.settings
}

// Active returns the number of recipients with items that are being delivered or wait
// for a retry.
func (e *Engine) Active() int { return e.scheduler.count() }

// Run serves until ctx ends. Then it waits for the workers, which end with their sends, and
// retries failed removals a last time.
func (e *Engine) Run(ctx context.Context) error {
	var revisiting sync.WaitGroup
	revisiting.Go(func() { e.revisit(ctx) })
	e.workers.run(ctx)
	revisiting.Wait()
	var all sync.WaitGroup
	for _, q := range e.queues {
		all.Go(q.settler.stop)
	}
	all.Wait()
	return nil
}

// Wake has the engine look into all queues of an owner. It is called after a REGISTER, and
// ends a wait for a retry, but not every second; see register.
func (e *Engine) Wake(a sip.AoR) {
	bits := uint(0)
	for _, q := range e.queues {
		if q.devices == nil {
			bits |= q.bit
			continue
		}
		for _, device := range q.devices(a) {
			e.scheduler.news(recipientKey{a, device}, q.bit)
		}
	}
	if bits != 0 {
		e.scheduler.news(recipientKey{AoR: a}, bits)
	}
}

// WakeWaiting wakes every owner that is online and has waiting items. It is called
// once at the start, when bindings have been loaded. If a Source cannot be read it is tried
// again later, see revisit. The error is that of ctx.
func (e *Engine) WakeWaiting(ctx context.Context, online func(sip.AoR) bool) error {
	for _, q := range e.queues {
		source, _ := q.sourceAndSender("")
		if err := source.Waiting(ctx, func(a sip.AoR) {
			if online(a) {
				q.Wake(a)
			}
		}); err != nil && ctx.Err() == nil {
			e.opt.Log.Warn("waiting recipients not read", "error", err)
			e.scheduler.miss()
		}
	}
	return ctx.Err()
}

// Pending reports whether items are known to wait for an owner, in any queue.
func (e *Engine) Pending(a sip.AoR) bool {
	var buf [8]recipientKey
	return e.scheduler.known(e.keys(buf[:0], a))
}

// Refreshed is Wake for the queues in which items are known to wait. It is called after a
// REGISTER that has changed nothing.
func (e *Engine) Refreshed(a sip.AoR) {
	var buf [8]recipientKey
	e.scheduler.newsIfKnown(e.keys(buf[:0], a))
}

// RetryNow ends the wait for a retry of an owner, for an administrator.
func (e *Engine) RetryNow(a sip.AoR) {
	var buf [8]recipientKey
	e.scheduler.expedite(e.keys(buf[:0], a))
}

// keys appends the keys of an owner's recipients.
func (e *Engine) keys(to []recipientKey, a sip.AoR) []recipientKey {
	to = append(to, recipientKey{AoR: a})
	for _, q := range e.queues {
		if q.devices == nil {
			continue
		}
		for _, device := range q.devices(a) {
			to = append(to, recipientKey{a, device})
		}
	}
	return to
}

// serve makes passes through a recipient's queues until the scheduler needs no other one.
func (e *Engine) serve(ctx context.Context, r *recipient) {
	v, left := Undelivered, r.draining
	for again := true; again; again = e.scheduler.finish(r, v, left, ctx.Err() != nil) {
		if ctx.Err() == nil {
			v, left = e.attempt(ctx, r.key, r)
		}
	}
}

// attempt serves the queues in r.draining, and those that are woken meanwhile. It returns Delivered
// when nothing is left; otherwise Offline or Undelivered with the queues that may not be
// empty. A panic counts as Undelivered.
func (e *Engine) attempt(ctx context.Context, k recipientKey, r *recipient) (v Verdict, left uint) {
	o := newRound(e, k, r)
	defer func() {
		if p := recover(); p != nil {
			e.logPanic(k, p)
			v = Undelivered
		}
		left = o.left
	}()
	return o.run(ctx), 0
}

func (e *Engine) logPanic(k recipientKey, p any) {
	e.opt.Log.Error("panic in delivery", "owner", k.AoR, "panic", p, "stack", string(debug.Stack()))
}
