package silo

import (
	"context"
	"fmt"
	"time"

	"silod/watch"
)

const (
	sweepChunk = 200                   // messages deleted at once: the writer is never held for long
	sweepPause = 20 * time.Millisecond // in which others write
)

// expire deletes the messages whose time is over, and tells the senders who asked.
func (s *Service) expire(ctx context.Context) {
	for ctx.Err() == nil {
		gone, err := s.opt.Store.Expire(ctx, s.opt.Now(), sweepChunk)
		if err != nil {
			s.opt.Log.Warn("clear expired messages", "error", err)
			return
		}
		for i := range gone {
			s.expired(ctx, &gone[i])
		}
		if len(gone) < sweepChunk {
			return
		}
		pause(ctx, sweepPause)
	}
}

// expired counts a message that was deleted because its time was over. One of which
// every device was to get a copy, and some have, has not failed.
func (s *Service) expired(ctx context.Context, m *Message) {
	m.unmark()
	if m.Copies > 0 {
		return
	}
	s.Stats.Expired.Inc()
	s.tell(watch.Expired, m, "")
	if m.Stuck == "" { // else its sender has been told
		s.tellFailed(ctx, m)
	}
}

// Load brings the store into the state that the configuration asks for, before
// anything is delivered: what some device got while every one was to get a copy is
// deleted, now that one copy is enough.
func (s *Service) Load(ctx context.Context) error {
	if s.opt.Every {
		return nil
	}
	for n := sweepChunk; n == sweepChunk; {
		var err error
		if n, err = s.opt.Store.Purge(ctx, Query{Copied: true}, sweepChunk); err != nil {
			return fmt.Errorf("clear delivered messages: %w", err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
