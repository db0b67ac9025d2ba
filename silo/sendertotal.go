package silo

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"silod/limit"
)

// ErrSenderTotal is the error of Put if a user has too many messages in all mailboxes.
var ErrSenderTotal = errors.New("enough messages of this sender are stored")

// senderTotals count the stored messages of each user in all mailboxes, in memory of fixed size
// that keeps the users with the most. They are read from the store after the start and once an
// hour, by pages of the whole table. In between they follow the messages that silod stores and
// delivers.
type senderTotals struct {
	table *limit.Table[string, Usage]

	mu      sync.Mutex
	changes map[string]Usage // those that were stored since a reading began; nil: none is in progress
	readAt  time.Time
	wanted  chan struct{} // has an element if a reading is wanted
}

const (
	maxTotals   = 1 << 15
	totalsEvery = time.Hour
	totalsAgain = time.Minute // after a message was refused
)

func newSenderTotals() senderTotals {
	worth := func(u *Usage, _ time.Time) float64 { return float64(u.Messages) + float64(u.Bytes)/1024 }
	return senderTotals{table: limit.NewTable[string](maxTotals, worth), wanted: make(chan struct{}, 1)}
}

// reserve counts a message of a sender, unless the quota forbids it.
func (ts *senderTotals) reserve(from string, bytes int64, quota Usage, now time.Time) error {
	ok := true
	ts.table.Update(from, now, func(u *Usage) {
		if ok = quota.admits(*u, bytes); ok {
			*u = u.plus(1, bytes)
		}
	})
	if !ok {
		ts.want()
		return ErrSenderTotal
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.changes != nil {
		ts.changes[from] = ts.changes[from].plus(1, bytes)
	}
	return nil
}

// cancel reverses reserve for a message that was not stored.
func (ts *senderTotals) cancel(from string, bytes int64) {
	ts.remove(from, bytes)
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if c, ok := ts.changes[from]; ok {
		ts.changes[from] = c.plus(-1, -bytes)
	}
}

// remove stops counting a message that was stored and is not any more.
func (ts *senderTotals) remove(from string, bytes int64) {
	ts.table.Find(from, func(u *Usage) { *u = u.plus(-1, -bytes) })
}

// want asks for a reading.
func (ts *senderTotals) want() {
	select {
	case ts.wanted <- struct{}{}:
	default:
	}
}

// due reports whether the totals must be read, because they were not for so long.
func (ts *senderTotals) due(now time.Time, every time.Duration) bool {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return now.Sub(ts.readAt).Abs() >= every
}

// followTotals reads the totals whenever that is due, until ctx ends. A reading takes long.
func (s *Service) followTotals(ctx context.Context) {
	ticks := time.NewTicker(totalsAgain)
	defer ticks.Stop()
	s.readTotals(ctx)
	for {
		every := totalsEvery
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-s.totals.wanted:
			every = totalsAgain
		}
		if s.totals.due(s.opt.Now(), every) {
			s.readTotals(ctx)
		}
	}
}

// readTotals reads the totals of all senders that have a noteworthy part of their quota.
func (s *Service) readTotals(ctx context.Context) {
	quota, now := s.cfg().Sender, s.opt.Now()
	if !s.opt.Authenticated || quota.unlimited() {
		return
	}
	part := func(n int64) int64 {
		if n == 0 {
			return math.MaxInt64
		}
		return max(1, n/100)
	}
	ts := &s.totals
	ts.mu.Lock()
	ts.changes, ts.readAt = map[string]Usage{}, now
	ts.mu.Unlock()
	read := map[string]Usage{}
	err := s.opt.Store.UsageBySender(ctx, Usage{part(quota.Messages), part(quota.Bytes)}, func(from string, u Usage) { read[from] = u })
	ts.mu.Lock()
	defer ts.mu.Unlock()
	changes := ts.changes
	ts.changes = nil
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.opt.Log.Warn("messages of senders not counted", "error", err)
		return
	}
	ts.table.DeleteFunc(func(from string, u *Usage) bool {
		_, found := read[from]
		return !found && u.Messages == 0
	})
	for from, u := range read {
		c := changes[from]
		ts.table.Update(from, now, func(old *Usage) { *old = u.plus(c.Messages, c.Bytes) })
	}
}
