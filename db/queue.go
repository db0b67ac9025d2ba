package db

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits of a batch and of the queue. A full queue makes callers wait.
const (
	batchRows  = 256
	batchBytes = 1 << 20
	queueRows  = 4096
	queueBytes = 32 << 20

	// writeTimeout limits the time from the queueing of a write to the last attempt at it. It is
	// far below the 32 s after which a sender gives up (RFC 3261 section 17.1.1.2).
	writeTimeout = 10 * time.Second
)

// An op is the write of one caller.
type op struct {
	join  func(*plan) // adds the write to the plan of a transaction
	rows  int         // its size, roughly
	bytes int
	done  func(error) // called once, by the queue's goroutine
	// queued, if not nil, is called under the queue's lock when the op enters the queue:
	// ops are written in the order of these calls.
	queued   func()
	undo     func(*session) error // takes the write back after its commit; nil: not necessary
	doubt    chan struct{}        // closed when the outcome is in doubt; nil: the caller does not wait for the end of a doubt
	deadline time.Time            // of the last attempt: writeTimeout after the queueing, or the end of the caller's context
	state    opState
}

type opState int

const (
	opQueued  opState = iota // in the queue
	opTaken                  // part of a batch
	opDropped                // given up by its caller while it was in the queue
)

// A queue implements group commit: one transaction has all writes that wait, and their
// callers continue after its commit. No write is delayed to wait for others: a batch
// consists of the writes that arrived while the batch before it was written. The queue's
// goroutine runs only while there are writes.
type queue struct {
	write func([]*op) // writes a batch and calls every done
	now   func() time.Time

	mu      sync.Mutex
	ops     []*op
	rows    int
	bytes   int
	running bool
	closed  bool
	refusal error         // of every write, nil for none
	space   chan struct{} // closed when ops leave the queue; nil when no caller waits
	closing chan struct{} // closed by close
	idle    sync.WaitGroup
}

// init prepares a zero queue.
func (q *queue) init(write func([]*op), now func() time.Time) {
	q.write, q.now, q.closing = write, now, make(chan struct{})
}

// do queues a write and waits for its outcome. When ctx ends, or after writeTimeout, do
// drops the write if it is still in the queue. If it is part of a transaction already, do
// waits for the outcome all the same, see also op.doubt. Errors are errInvalid and errBusy.
func (q *queue) do(ctx context.Context, o *op) error {
	result := make(chan error, 1)
	o.done = func(err error) { result <- err }
	if err := q.enqueue(ctx, o); err != nil {
		return err
	}
	timer := time.NewTimer(writeTimeout)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		if q.drop(o) {
			return fmt.Errorf("%w: %w", errBusy, ctx.Err())
		}
	case <-timer.C:
		if q.drop(o) {
			return fmt.Errorf("%w: not written for %v", errBusy, writeTimeout)
		}
	}
	select {
	case err := <-result:
		return err
	case <-o.doubt:
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errUnknown, ctx.Err())
	}
}

// send queues a write and returns. It calls done once with the outcome, as do returns it.
// It waits only while the queue is full, for writeTimeout at most.
func (q *queue) send(o *op, done func(error)) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	o.done = done
	if err := q.enqueue(ctx, o); err != nil {
		done(err)
	}
}

// enqueue adds a write and starts the queue's goroutine where it does not run. It waits
// while the queue is full, until ctx ends. Its error is errBusy.
func (q *queue) enqueue(ctx context.Context, o *op) error {
	q.mu.Lock()
	for !q.closed && q.refusal == nil && len(q.ops) > 0 && (q.rows+o.rows > queueRows || q.bytes+o.bytes > queueBytes) {
		if q.space == nil {
			q.space = make(chan struct{})
		}
		space := q.space
		q.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return fmt.Errorf("%w: queue is full: %w", errBusy, ctx.Err())
		}
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("%w: database is closed", errBusy)
	}
	if q.refusal != nil {
		return q.refusal
	}
	wait := writeTimeout
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	if wait <= 0 {
		return fmt.Errorf("%w: %w", errBusy, context.DeadlineExceeded)
	}
	o.deadline = q.now().Add(wait)
	q.ops = append(q.ops, o)
	if o.queued != nil {
		o.queued()
	}
	q.rows += o.rows
	q.bytes += o.bytes
	if !q.running {
		q.running = true
		q.idle.Add(1)
		go q.run()
	}
	return nil
}

// drop marks a write as dropped, so that take leaves it out. It reports false if the write
// is part of a batch already.
func (q *queue) drop(o *op) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o.state != opQueued {
		return false
	}
	o.state = opDropped
	q.leave(o)
	return true
}

// leave subtracts a write from the size of the queue and wakes the waiting callers.
func (q *queue) leave(o *op) {
	q.rows -= o.rows
	q.bytes -= o.bytes
	q.wakeCallers()
}

// wakeCallers wakes the callers that wait for space.
func (q *queue) wakeCallers() {
	if q.space != nil {
		close(q.space)
		q.space = nil
	}
}

// refuse refuses the writes in the queue and all later ones with an error, until it is called
// with nil.
func (q *queue) refuse(err error) {
	q.mu.Lock()
	q.refusal = err
	if err == nil {
		q.mu.Unlock()
		return
	}
	ops := q.ops
	q.ops, q.rows, q.bytes = nil, 0, 0
	var refused []*op
	for _, o := range ops {
		if o.state == opQueued {
			o.state = opTaken
			refused = append(refused, o)
		}
	}
	q.wakeCallers()
	q.mu.Unlock()
	for _, o := range refused {
		o.done(err)
	}
}

// take removes the next batch from the queue. It returns nil if the queue is empty: then
// the caller, the queue's goroutine, must end, because the next write starts another one.
func (q *queue) take() []*op {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*op
	rows, bytes, n := 0, 0, 0
	for _, o := range q.ops {
		if o.state == opQueued {
			if len(batch) > 0 && (rows+o.rows > batchRows || bytes+o.bytes > batchBytes) {
				break
			}
			o.state = opTaken
			q.leave(o)
			batch = append(batch, o)
			rows += o.rows
			bytes += o.bytes
		}
		n++
	}
	clear(q.ops[:n])
	if q.ops = q.ops[n:]; len(q.ops) == 0 {
		q.ops = nil
	}
	q.running = len(batch) > 0
	return batch
}

// run is the queue's goroutine.
func (q *queue) run() {
	defer q.idle.Done()
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		q.write(batch)
	}
}

// close refuses new writes and waits for those in the queue.
func (q *queue) close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.closing)
	}
	q.wakeCallers()
	q.mu.Unlock()
	q.idle.Wait()
}

// isClosed reports whether close was called.
func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// pause waits for d, or until close is called. It reports whether it has waited for d.
func (q *queue) pause(d time.Duration) bool {
	select {
	case <-q.closing:
		return false
	case <-time.After(d):
		return true
	}
}
