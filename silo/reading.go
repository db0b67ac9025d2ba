package silo

import (
	"context"
	"fmt"
	"time"
)

// A semaphore limits how many goroutines do something at the same time.
type semaphore chan struct{}

// tally returns the tally that a deposit needs, and the sender that it is about, "" for all. The
// account is locked.
func (d *deposit) tally(n need) (t *tally, from string) {
	if n == needSender {
		return d.account.sender(d.from), d.from
	}
	return &d.account.all, ""
}

// readAccount reads the usage that a deposit needs. One goroutine at a time reads a mailbox.
func (s *Service) readAccount(ctx context.Context, d *deposit, k accountKey, need need, now time.Time) error {
	a := d.account
	a.mu.Lock()
	t, _ := d.tally(need)
	before := t.read
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	unlock, err := s.locks.lock(ctx, k.owner)
	if err != nil {
		return fmt.Errorf("wait for mailbox: %w: %w", ErrBusy, err)
	}
	defer unlock()
	a.mu.Lock()
	known := !t.read.Equal(before) // by another goroutine
	a.mu.Unlock()
	if known {
		return nil
	}
	select {
	case s.accounts.reading <- struct{}{}:
		defer func() { <-s.accounts.reading }()
	case <-ctx.Done():
		return fmt.Errorf("wait for other mailboxes: %w: %w", ErrBusy, ctx.Err())
	}
	return s.count(ctx, d, k, need, now)
}

// refreshAccount starts to read again what is stale, unless that was begun or others are read.
func (s *Service) refreshAccount(d *deposit, k accountKey, now time.Time) {
	a, need := d.account, d.stale
	a.mu.Lock()
	defer a.mu.Unlock()
	t, _ := d.tally(need)
	if t.again || now.Sub(t.read).Abs() < restLife*t.cost {
		return
	}
	select {
	case s.accounts.refreshing <- struct{}{}:
	default:
		return
	}
	t.again = true
	reader := deposit{account: a, from: d.from}
	go func() {
		defer func() {
			<-s.accounts.refreshing
			a.mu.Lock()
			t.again = false
			a.mu.Unlock()
		}()
		ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
		defer cancel()
		if err := s.count(ctx, &reader, k, need, now); err != nil {
			s.opt.Log.Warn("mailbox not counted", "owner", k.owner, "error", err)
		}
	}()
}

// count reads a tally. Messages that are stored or deleted meanwhile may be counted twice, or not
// at all, until it is read again.
func (s *Service) count(ctx context.Context, d *deposit, k accountKey, need need, now time.Time) error {
	a := d.account
	a.mu.Lock()
	t, from := d.tally(need)
	t.added, t.asOf = Usage{}, a.removals
	a.mu.Unlock()
	start := time.Now()
	u, err := s.opt.Store.Usage(ctx, k.owner, from, k.reminders)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		if a.slow(t) { // not again at once: the database may be away
			t.read = now
		}
		return fmt.Errorf("count mailbox: %w", err)
	}
	t.read, t.cost = now, time.Since(start)
	if need == needSender && a.all.read.After(now) { // for a message that came later
		t.read = a.all.read // that reading has ended before this one began
	}
	t.stored = u.plus(t.added.Messages, t.added.Bytes)
	return nil
}
