package imc

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Intervals of maintenance.
const (
	trimEvery       = 10 * time.Second
	sweepEvery      = time.Minute
	pauseEvery      = time.Hour
	shutdownTimeout = 5 * time.Second
)

// Run writes cursors and deletes old entries until ctx ends. Then it writes the cursors, for
// up to shutdownTimeout.
func (s *Service) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	workers.Go(func() { runEvery(ctx, sweepEvery, s.sweep) })
	workers.Go(func() { runEvery(ctx, sweepEvery, s.eraseClosed) })
	workers.Go(func() { runEvery(ctx, sweepEvery, s.sweepSanctions) })
	workers.Go(func() { runEvery(ctx, pauseEvery, s.pauseAbsent) })
	s.writeLoop(ctx)

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	workers.Wait()
	if err := s.Flush(last); err != nil {
		return fmt.Errorf("write last cursors: %w", err)
	}
	return nil
}

// runEvery calls f at intervals of d until ctx ends.
func runEvery(ctx context.Context, d time.Duration, f func(context.Context)) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f(ctx)
		}
	}
}

// writeLoop writes cursors and trims memory until ctx ends. It logs when writing
// begins to fail and when it works again.
func (s *Service) writeLoop(ctx context.Context) {
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	var flush <-chan time.Time // nil while no cursor has moved
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-trim.C:
			s.trimMemory()
		case <-s.cursors.ready:
			if flush == nil {
				flush = time.After(flushAfter)
			}
		case <-flush:
			flush = nil
			err := s.writeCursors(ctx, flushBatch)
			if err != nil {
				flush = time.After(flushRetry)
			}
			if ctx.Err() == nil && (err != nil) != failing {
				failing = !failing
				if failing {
					s.log.Error("room cursors not written", slog.Any("error", err))
				} else {
					s.log.Info("room cursors written again")
				}
			}
		}
	}
}

// trimMemory removes users with an empty bucket from the meters, and old entries from
// the tails.
func (s *Service) trimMemory() {
	s.sweepMeters(s.now())
	for _, r := range s.allRooms() {
		r.mu.Lock()
		if before := r.tailSize; before > 0 {
			s.trim(r, before)
		}
		r.mu.Unlock()
	}
}
