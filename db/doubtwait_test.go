package db

import (
	"context"
	"errors"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/silo"
)

// The release of reminders and the deletion of expired messages are not undone, and their callers
// get the outcome at the end of the doubt, or none when their context ends.
func TestDoubtAwaited(t *testing.T) {
	t.Parallel()
	s, begin := withoutStandby(t, dbtest.NewPostgreSQL(t))
	db := s.db
	reminder, old := text("reminder"), text("old")
	reminder.SendAt, old.Expires = noon, noon
	add(t, db.Messages(), reminder)
	add(t, db.Messages(), old)
	begin()
	gate, all := make(chan struct{}), &db.writer.queue
	go func() {
		_ = db.writer.step(t.Context(), 1, func(*session) error { <-gate; return errors.New("refused") })
	}()
	queued := func(n int) {
		for deadline := time.Now().Add(patient); ; time.Sleep(time.Millisecond) {
			all.mu.Lock()
			ok := all.running && len(all.ops) == n
			all.mu.Unlock()
			if ok {
				return
			}
			if time.Now().After(deadline) {
				t.Error(n, "writes are not queued")
				return
			}
		}
	}
	queued(0)
	sent, given := *reminder, *reminder
	sent.SendAt, given.SendAt = time.Time{}, time.Time{}
	released, ended, expired := make(chan error, 1), make(chan error, 1), make(chan []silo.Message, 1)
	ctx, cancel := context.WithCancel(t.Context())
	release := func(ctx context.Context, m *silo.Message, err chan<- error) {
		err <- db.Messages().Release(ctx, []silo.Release{{Reminder: reminder.ID, Message: m}})
	}
	go release(t.Context(), &sent, released)
	queued(1)
	go release(ctx, &given, ended)
	go func() {
		gone, err := db.Messages().Expire(t.Context(), noon.Add(time.Minute), 10)
		if err != nil {
			t.Error(err)
		}
		expired <- gone
	}()
	queued(3)
	go func() {
		queued(4)
		close(gate)
	}()
	if err := db.Messages().Add(inTime(t), text("doubtful")); !errors.Is(err, silo.ErrBusy) || !db.InDoubt() {
		t.Error(err, db.InDoubt())
	}
	cancel()
	if err := <-ended; !errors.Is(err, silo.ErrBusy) || !errors.Is(err, context.Canceled) {
		t.Error("released without an end of the doubt: ", err)
	}
	s.end()
	if err := <-released; err != nil || sent.ID == 0 {
		t.Error(err, sent.ID)
	}
	if gone := <-expired; bodies(gone) != "old" {
		t.Errorf("expired %v", gone)
	}
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "reminder" {
		t.Errorf("stored %q", got)
	}
}
