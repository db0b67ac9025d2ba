package silo

import (
	"context"
	"fmt"
	"time"

	"silod/watch"
)

const (
	sweepChunk = 200                   // messages deleted in one transaction, which must be short
	sweepPause = 20 * time.Millisecond // between two, for other writes

	// failedPause is the pause after each notification that a message has expired: many messages
	// may expire together, and their senders should not get all notifications at once.
	failedPause = 10 * time.Millisecond

	tidyInterval = time.Hour
)

// expire deletes the messages that have expired and notifies senders that ask for it.
func (s *Service) expire(ctx context.Context) {
	for ctx.Err() == nil {
		gone, err := s.opt.Store.Expire(ctx, s.opt.Now(), sweepChunk)
		if err != nil {
			s.opt.Log.Warn("expired messages not deleted", "error", err)
			return
		}
		for i := range gone {
			if s.expired(ctx, &gone[i]) {
				sleep(ctx, failedPause)
			}
		}
		if len(gone) < sweepChunk {
			return
		}
		sleep(ctx, sweepPause)
	}
}

// tidy deletes silod's own rows of messages that another program has deleted, first after
// Settings.Sweep and then at intervals of tidyInterval, until ctx ends. That takes minutes if there are
// many messages, or if commands have the turn.
func (s *Service) tidy(ctx context.Context) {
	for sleep(ctx, s.cfg().Sweep); ctx.Err() == nil; sleep(ctx, tidyInterval) {
		if _, err := s.opt.Store.Tidy(ctx); err != nil && ctx.Err() == nil {
			s.opt.Log.Warn("rows of deleted messages not deleted", "error", err)
		}
	}
}

// expired counts a message that was deleted because it had expired, and notifies its
// sender, which it reports. If every device gets a copy, a message of which one has received its copy
// has not failed.
func (s *Service) expired(ctx context.Context, m *Message) (notified bool) {
	s.removed(m, !m.SendAt.IsZero())
	m.takeInternal()
	if m.Copies > 0 {
		return false
	}
	s.Stats.Expired.Inc()
	s.publish(watch.Expired, m, "")
	return m.Stuck == "" && s.notifyFailed(ctx, m) // else the sender was notified when it was set aside
}

// sweep deletes what is not needed any more, at intervals of Settings.Sweep, until ctx ends.
func (s *Service) sweep(ctx context.Context) {
	timer := time.NewTimer(s.cfg().Sweep)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.sweepChanged:
		case <-timer.C:
			s.expire(ctx)
			s.noticeLimiter.Sweep(noticeRate(s.cfg()), s.opt.Now())
			s.notices.sweep()
			s.sweepCharges(ctx)
		}
		timer.Reset(s.cfg().Sweep)
	}
}

// Load prepares the store before the first delivery. If one device's copy is enough, it
// deletes the messages that a device has received while every device got a copy.
func (s *Service) Load(ctx context.Context) error {
	s.opt.Store.Observe(s.strangers.observe)
	if err := s.strangers.load(ctx, s.opt.Store.Charges); err != nil {
		return fmt.Errorf("load messages of strangers: %w", err)
	}
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

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
