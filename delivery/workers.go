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
// is ready and no worker is idle.
type workers struct {
	scheduler *scheduler
	serve     func(context.Context, recipientKey, *recipient)
	cpu       *cpuSlots

	busy    chan struct{} // has an element for each worker that serves; its capacity is their limit
	jobs    chan struct{} // passes an element of busy and a CPU slot to an idle worker
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
		for w.scheduler.hasWork(w.hasSpareWorker(1)) {
			select {
			case <-ctx.Done():
				return
			case w.busy <- struct{}{}:
			}
			w.cpu.acquire()
			select {
			case w.jobs <- struct{}{}:
			default:
				w.running.Go(func() { w.work(ctx) })
			}
		}
	}
}

// work is a worker. run has added its element to busy and acquired its CPU slot.
func (w *workers) work(ctx context.Context) {
	for {
		w.serveReady(ctx)
		if w.idle.Add(1) > idleWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case <-w.jobs:
			w.idle.Add(-1)
		case <-ctx.Done():
			w.idle.Add(-1)
			return
		}
	}
}

// serveReady serves recipients until next returns none. Then it releases the CPU slot and
// removes its element from busy.
func (w *workers) serveReady(ctx context.Context) {
	defer func() {
		<-w.busy
		if w.scheduler.hasWork(w.hasSpareWorker(1)) {
			w.scheduler.notify()
		}
	}()
	defer w.cpu.release()
	for {
		k, r := w.scheduler.next(w.hasSpareWorker(0))
		if r == nil {
			return
		}
		w.serve(ctx, k, r)
	}
}

// hasSpareWorker reports whether broadcasts and retries can have more workers, in addition
// to the busy ones. A quarter of the workers is kept for other recipients: a user that
// comes online is served at once, however many devices in large rooms do not answer.
func (w *workers) hasSpareWorker(more int) bool {
	return len(w.busy)+more <= cap(w.busy)-cap(w.busy)/4
}
