// Package silo keeps messages for those who are offline: it decides what may be
// stored and for how long, commits it before the sender is told, hands it to the
// delivery engine as a Source, and clears away what has expired. Reminders are
// messages that are delivered at a set time.
//
// It knows nothing of SIP transactions, contacts or SQL. It holds no lock of its
// own.
package silo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"silod/address"
	"silod/delivery"
	"silod/mi"
)

// Waker is the silo's queue in the delivery engine.
type Waker interface{ Wake(owner address.AoR) }

// Options are what a Service needs. Zero values stand for the defaults given.
type Options struct {
	Store  Store
	Waker  Waker
	Online func(address.AoR) bool // asked after each commit
	Log    *slog.Logger
	Now    func() time.Time

	Expire time.Duration // longest life of a message; 72 h (msilo's expire_time)
	Check  time.Duration // how often reminders and expired messages are looked for; 30 s (check_time)
	Most   int           // messages an owner may have; 0: no limit (max_messages)
}

// Service is the silo. Make it with New; Run clears up and delivers reminders.
type Service struct {
	opt   Options
	Stats Stats
}

// Stats are msilo's counters, and ours.
type Stats struct {
	Stored, Dumped, Failed           mi.Counter // messages
	DumpedReminders, FailedReminders mi.Counter
	Expired, Refused, OverQuota      mi.Counter
	Commit                           mi.Histogram // how long a message waited for its commit
}

// New makes a silo; it starts nothing.
func New(opt Options) *Service {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Expire == 0 {
		opt.Expire = 72 * time.Hour
	}
	if opt.Check == 0 {
		opt.Check = 30 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{opt: opt}
}

// What Put refuses, besides the Store's errors.
var (
	ErrQuota   = errors.New("mailbox is full")
	ErrExpired = errors.New("message has expired")
	ErrEmpty   = errors.New("message has no body")
)

// Put stores a message for an owner and returns when it is committed: then, and
// only then, may the sender be told so. It gives the stored message's ID.
func (s *Service) Put(ctx context.Context, owner address.AoR, m *delivery.Message) (int64, error) {
	now := s.opt.Now()
	life, err := s.life(m, now)
	if err != nil {
		return 0, err
	}
	if s.opt.Most > 0 {
		n, err := s.opt.Store.Count(ctx, owner)
		if err != nil {
			return 0, fmt.Errorf("count mailbox: %w", err)
		}
		if n >= s.opt.Most {
			s.Stats.OverQuota.Inc()
			return 0, ErrQuota
		}
	}
	row := &Message{
		Owner:   owner,
		Src:     bareURI(m.From),
		Dst:     bareURI(m.To),
		Stored:  now.Truncate(time.Second),
		Expires: now.Add(life).Truncate(time.Second),
		Message: *m,
	}
	begun := time.Now()
	if err := s.opt.Store.Add(ctx, row); err != nil {
		return 0, fmt.Errorf("store message: %w", err)
	}
	s.Stats.Commit.Observe(time.Since(begun))
	s.Stats.Stored.Inc()
	// The owner may have registered while this was being committed, and then found
	// nothing: so the location is asked again, after the commit.
	if s.opt.Online(owner) {
		s.opt.Waker.Wake(owner)
	}
	return row.ID, nil
}

// life is the lesser of expire_time and what the Expires header leaves (RFC 3428
// section 7): counted from the Date header, where there is one that makes sense.
func (s *Service) life(m *delivery.Message, now time.Time) (time.Duration, error) {
	if len(m.Body) == 0 {
		return 0, ErrEmpty
	}
	v := m.Header("Expires")
	if v == "" {
		return s.opt.Expire, nil
	}
	secs, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	if err != nil {
		return s.opt.Expire, nil //nolint:nilerr // an Expires that cannot be read says nothing
	}
	life := time.Duration(secs) * time.Second
	if sent, err := time.Parse(time.RFC1123, m.Header("Date")); err == nil && sent.Before(now) {
		life -= now.Sub(sent)
	}
	if life <= 0 {
		return 0, ErrExpired
	}
	return min(life, s.opt.Expire), nil
}

// bareURI is the URI of a header value without parameters, as the columns
// src_addr and dst_addr keep it.
func bareURI(value string) string {
	a, err := address.ParseNameAddr(value)
	if err != nil {
		return ""
	}
	a.URI.Params, a.URI.Header = nil, ""
	return a.URI.String()
}

// Remove deletes a message that was delivered by another way, by its ID: when the
// device's answer came after the sender had been told that it is stored.
func (s *Service) Remove(id int64) {
	s.opt.Store.Delete(id, func(err error) {
		if err != nil {
			s.opt.Log.Warn("delivered message not removed", "id", id, "error", err)
			return
		}
		s.Stats.Dumped.Inc()
	})
}

// Next gives what waits for an owner: a delivery.Source.
func (s *Service) Next(ctx context.Context, owner address.AoR, after int64, limit int) ([]delivery.Item, error) {
	ms, err := s.opt.Store.Next(ctx, owner, after, limit, s.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	items := make([]delivery.Item, len(ms))
	for i := range ms {
		items[i] = delivery.Item{Message: ms[i].Message, Key: ms[i].ID, Expires: ms[i].Expires}
		identify(&items[i].Message, &ms[i])
	}
	return items, nil
}

// identify gives a message that has no Call-ID of its own, because Kamailio stored
// it, one that is made from its row: the same on every try and every node.
func identify(m *delivery.Message, row *Message) {
	if m.CallID == "" {
		m.CallID = fmt.Sprintf("silo-%d-%d@%s", row.ID, row.Stored.Unix(), row.Owner.Domain)
	}
	if m.CSeq == 0 {
		m.CSeq = 1
	}
}

// Settle deletes what was delivered and sets aside what was refused for good.
func (s *Service) Settle(_ address.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	if out.Verdict == delivery.Delivered {
		s.opt.Store.Delete(it.Key, func(err error) {
			if err == nil {
				s.Stats.Dumped.Inc()
			}
			done(err)
		})
		return
	}
	s.Stats.Refused.Inc()
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	_, err := s.opt.Store.SetAside(ctx, it.Key, out.Reason)
	done(err)
}

const settleTimeout = 15 * time.Second

// Waiting calls f for every owner with something to deliver.
func (s *Service) Waiting(ctx context.Context, f func(address.AoR)) error {
	if err := s.opt.Store.Waiting(ctx, s.opt.Now(), f); err != nil {
		return fmt.Errorf("find waiting mailboxes: %w", err)
	}
	return nil
}

// Run clears expired messages away until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	t := time.NewTicker(s.opt.Check)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			s.expire(ctx)
		}
	}
}

// expireChunk is small, so that the writer is never held for long.
const expireChunk = 200

func (s *Service) expire(ctx context.Context) {
	for ctx.Err() == nil {
		gone, err := s.opt.Store.Expire(ctx, s.opt.Now(), expireChunk)
		if err != nil {
			s.opt.Log.Warn("clear expired messages", "error", err)
			return
		}
		s.Stats.Expired.Add(len(gone))
		if len(gone) < expireChunk {
			return
		}
	}
}
