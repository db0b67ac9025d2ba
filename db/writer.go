package db

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Bounds of the writer. A full queue makes callers wait, for writeTimeout at most.
const (
	batchRows  = 256
	batchBytes = 1 << 20
	queueRows  = 4096
	queueBytes = 32 << 20

	writeTimeout = 15 * time.Second // nobody waits longer for a write
	giveUp       = 10 * time.Second // no attempt at a batch starts later
)

// op is one caller's write.
type op struct {
	join  func(*plan) // adds what is to be written to a transaction's plan
	rows  int
	bytes int
	done  func(error) // called once, from the writer
	// queued, where there is one, is called under the writer's lock when the op gets its
	// place in the queue: ops are written in the order of these calls.
	queued func()
	since  time.Time
	state  opState
}

type opState int

const (
	opQueued opState = iota
	opTaken
	opDropped
)

// writer is the group commit: it puts whatever waits into one transaction and
// acknowledges all of it after the commit. There is no artificial delay: while
// one transaction is on its way to the disk, the next one fills. Its goroutine
// lives as long as there is something to write.
type writer struct {
	commit func([]*op) // writes a batch and calls every done
	now    func() time.Time

	mu      sync.Mutex
	queue   []*op
	rows    int
	bytes   int
	running bool
	closed  bool
	space   chan struct{} // closed when there may be room again; nil when nobody waits
	idle    sync.WaitGroup
}

// do queues a write and waits for its outcome. When ctx ends, or nothing was
// done with it for writeTimeout, a write that is still in the queue is dropped;
// one that is part of a transaction is waited for.
func (w *writer) do(ctx context.Context, o *op) error {
	result := make(chan error, 1)
	o.done = func(err error) { result <- err }
	if err := w.enqueue(ctx, o); err != nil {
		return err
	}
	timer := time.NewTimer(writeTimeout)
	defer timer.Stop()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		if w.drop(o) {
			return fmt.Errorf("%w: %w", errBusy, ctx.Err())
		}
	case <-timer.C:
		if w.drop(o) {
			return fmt.Errorf("%w: not written for %v", errBusy, writeTimeout)
		}
	}
	return <-result
}

// send queues a write and returns; done is called once. It waits only where the
// queue is full.
func (w *writer) send(o *op, done func(error)) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTimeout)
	defer cancel()
	o.done = done
	if err := w.enqueue(ctx, o); err != nil {
		done(err)
	}
}

func (w *writer) enqueue(ctx context.Context, o *op) error {
	w.mu.Lock()
	for !w.closed && len(w.queue) > 0 && (w.rows+o.rows > queueRows || w.bytes+o.bytes > queueBytes) {
		if w.space == nil {
			w.space = make(chan struct{})
		}
		space := w.space
		w.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return fmt.Errorf("%w: queue is full: %w", errBusy, ctx.Err())
		}
		w.mu.Lock()
	}
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("%w: database is closed", errBusy)
	}
	o.since = w.now()
	w.queue = append(w.queue, o)
	if o.queued != nil {
		o.queued()
	}
	w.rows += o.rows
	w.bytes += o.bytes
	if !w.running {
		w.running = true
		w.idle.Add(1)
		go w.run()
	}
	return nil
}

// drop takes a write out of the queue, unless it has been taken for a transaction.
func (w *writer) drop(o *op) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o.state != opQueued {
		return false
	}
	o.state = opDropped
	w.leave(o)
	return true
}

// leave counts a write out of the queue and lets waiting callers in.
func (w *writer) leave(o *op) {
	w.rows -= o.rows
	w.bytes -= o.bytes
	if w.space != nil {
		close(w.space)
		w.space = nil
	}
}

// take removes the next batch from the queue; nil when there is nothing left,
// and then the writer's goroutine ends.
func (w *writer) take() []*op {
	w.mu.Lock()
	defer w.mu.Unlock()
	var batch []*op
	rows, bytes, n := 0, 0, 0
	for _, o := range w.queue {
		if o.state == opQueued {
			if len(batch) > 0 && (rows+o.rows > batchRows || bytes+o.bytes > batchBytes) {
				break
			}
			o.state = opTaken
			w.leave(o)
			batch = append(batch, o)
			rows += o.rows
			bytes += o.bytes
		}
		n++
	}
	clear(w.queue[:n])
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	w.running = len(batch) > 0
	return batch
}

func (w *writer) run() {
	defer w.idle.Done()
	for {
		batch := w.take()
		if batch == nil {
			return
		}
		w.commit(batch)
	}
}

// close refuses new writes and waits for those in the queue.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	if w.space != nil {
		close(w.space)
		w.space = nil
	}
	w.mu.Unlock()
	w.idle.Wait()
}
