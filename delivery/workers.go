package delivery

import (
	"context"
	"sync"
	"sync/atomic"
)

// idleWorkers is the number of workers that wait for work instead of ending. Their
// stacks have grown to the size that is needed.
const idleWorkers = 128

// workers are the goroutines that serve recipients. One is started only when a recipient
// can be served and no worker is idle.
type workers struct {
	scheduler *scheduler
	serve     func(context.Context, *recipient)
	cpu       *cpuSlots

	jobs    chan *recipient // passes a recipient and a CPU slot to an idle worker
	idle    atomic.Int64
	running sync.WaitGroup
}

// run starts workers as they are needed, until ctx ends. Then it waits for them.
func (w *workers) run(ctx context.Context) {
	defer w.running.Wait()
	defer w.scheduler.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.scheduler.signal:
		}
		for ctx.Err() == nil {
			w.cpu.acquire()
			r := w.scheduler.next()
			if r == nil {
				w.cpu.release()
				break
			}
			select {
			case w.jobs <- r:
			default:
				w.running.Go(func() { w.work(ctx, r) })
			}
		}
	}
}

// work is a worker. run has taken its first recipient and acquired its CPU slot.
func (w *workers) work(ctx context.Context, r *recipient) {
	for {
		w.serveFrom(ctx, r)
		if w.idle.Add(1) > idleWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case r = <-w.jobs:
			w.idle.Add(-1)
		case <-ctx.Done():
			w.idle.Add(-1)
			return
		}
	}
}

// serveFrom serves a recipient, and then others until next returns none. Then it releases
// the CPU slot.
func (w *workers) serveFrom(ctx context.Context, r *recipient) {
	defer w.cpu.release()
	for ; r != nil; r = w.scheduler.next() {
		w.serve(ctx, r)
	}
}
