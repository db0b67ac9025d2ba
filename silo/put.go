package silo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
	"silod/watch"
)

// What Put refuses, besides the Store's errors.
var (
	ErrQuota       = errors.New("mailbox is full")
	ErrSenderQuota = errors.New("mailbox has enough of this sender's messages")
	ErrExpired     = errors.New("message has expired")
	ErrEmpty       = errors.New("message has no body")
	ErrTooFar      = errors.New("time is too far ahead")
)

// Put stores a message and returns when it is committed: then, and only then, may
// the sender be told so. It gives the stored message's ID.
func (s *Service) Put(ctx context.Context, in *Incoming) (int64, error) {
	cfg, now := s.cfg(), s.opt.Now()
	row, err := s.row(cfg, in, now)
	if err != nil {
		return 0, err
	}
	if cfg.MaxMessages > 0 || cfg.MaxPerSender > 0 {
		done, err := s.turns.take(ctx, in.Owner)
		if err != nil {
			return 0, fmt.Errorf("wait for mailbox: %w: %w", ErrBusy, err)
		}
		defer done()
		if err := s.checkQuota(ctx, cfg, row); err != nil {
			return 0, err
		}
	}
	begun := time.Now()
	if err := s.opt.Store.Add(ctx, row); err != nil {
		return 0, fmt.Errorf("store message: %w", err)
	}
	s.Stats.Commit.Observe(time.Since(begun))
	s.Stats.Stored.Inc()
	s.tell(watch.Stored, row, "")
	// The owner may have registered while this was being committed, and then found
	// nothing: so the location is asked again, after the commit.
	if in.SendAt.IsZero() && s.opt.Online(in.Owner) {
		s.opt.Waker.Wake(in.Owner)
	}
	return row.ID, nil
}

// Send stores a message for a recipient, who need not be a user of this server. To one
// who is online it is delivered at once. Its errors are those of Put.
func (s *Service) Send(ctx context.Context, to sip.AoR, m im.Message) error {
	if _, err := s.Put(ctx, &Incoming{Owner: to, URI: to.String(), Message: &m, SafetyCopy: true}); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}

// row makes what is stored of a message.
func (s *Service) row(cfg *Settings, in *Incoming, now time.Time) (*Message, error) {
	if len(in.Message.Body) == 0 {
		return nil, ErrEmpty
	}
	life, err := lifetime(cfg, in.Message, now)
	if err != nil {
		return nil, err
	}
	row := &Message{
		Owner:   in.Owner,
		Src:     s.source(in.Message.From),
		Dst:     bareURI(in.Message.To),
		Stored:  now.Truncate(time.Second),
		Expires: now.Add(life).Truncate(time.Second),
		SendAt:  in.SendAt,
		Message: *in.Message,
	}
	if !in.SendAt.IsZero() {
		row.Expires = in.SendAt.Add(life).Truncate(time.Second)
		if row.Expires.Unix() >= math.MaxInt32 { // what the table's columns hold
			return nil, ErrTooFar
		}
	}
	row.Headers = unmarked(row.Headers)
	if keep := cfg.KeepFields.expand(in.values(now)); keep != "" {
		row.Headers = addFields(row.Headers, parseFields(keep))
	}
	if in.SafetyCopy && in.SendAt.IsZero() && s.opt.Online(in.Owner) {
		row.Headers = mark(row.Headers, markSafetyCopy, "yes")
	}
	if c, ok := readCPIM(in.Message); ok && in.Sender.IsZero() && c.Wants(failed.asked) {
		row.Headers = mark(row.Headers, markUnverified, "yes")
	}
	return row, nil
}

// checkQuota makes sure that one more message fits into a mailbox, and is not one too many
// of its sender. Reminders, which an owner does not see coming, have as much room of
// their own.
func (s *Service) checkQuota(ctx context.Context, cfg *Settings, row *Message) error {
	if cfg.MaxMessages > 0 {
		if n, err := s.count(ctx, row, ""); err != nil {
			return err
		} else if n >= cfg.MaxMessages {
			s.Stats.OverQuota.Inc()
			return ErrQuota
		}
	}
	if cfg.MaxPerSender > 0 {
		if n, err := s.count(ctx, row, row.Src); err != nil {
			return err
		} else if n >= cfg.MaxPerSender {
			s.Stats.OverSenderQuota.Inc()
			return ErrSenderQuota
		}
	}
	return nil
}

// count counts what waits in the mailbox of a row and is of its kind, a message or a
// reminder; from "" everybody.
func (s *Service) count(ctx context.Context, row *Message, from string) (n int, err error) {
	q := Query{Owner: row.Owner, From: from, Reminders: !row.SendAt.IsZero()}
	var all, copied Totals
	switch {
	case from == "" && !q.Reminders:
		n, err = s.opt.Store.Count(ctx, row.Owner)
	case q.Reminders:
		all, err = s.opt.Store.Tally(ctx, q)
		n = all.Reminders
	default:
		all, err = s.opt.Store.Tally(ctx, q)
		if err == nil && s.opt.Every { // what a device has got waits for others only
			q.Copied = true
			copied, err = s.opt.Store.Tally(ctx, q)
		}
		n = all.Messages - copied.Messages
	}
	if err != nil {
		return 0, fmt.Errorf("count mailbox: %w", err)
	}
	return n, nil
}

// lifetime is the lesser of expire_time and what the Expires header leaves
// (RFC 3428 section 7): counted from the Date header, where there is one.
func lifetime(cfg *Settings, m *im.Message, now time.Time) (time.Duration, error) {
	secs, ok := expires(m)
	if !ok {
		return cfg.Expire, nil
	}
	life := time.Duration(secs) * time.Second
	if sent, err := time.Parse(time.RFC1123, m.Header("Date")); err == nil && sent.Before(now) {
		life -= now.Sub(sent)
	}
	if life <= 0 {
		return 0, ErrExpired
	}
	return min(life, cfg.Expire), nil
}

// expires reads the Expires header; one that cannot be read says nothing.
func expires(m *im.Message) (seconds uint64, ok bool) {
	v := m.Header("Expires")
	if v == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
	return n, err == nil
}

// source is the sender's URI: for one of ours the address-of-record, of which there is
// one spelling, or a sender would have a quota for each port that he writes behind it.
func (s *Service) source(from string) string {
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return ""
	}
	if own, ours := s.opt.Domains.AoR(a.URI); ours && own.User != "" {
		return own.String()
	}
	return bareURI(from)
}

// bareURI is the URI of a header value without parameters, as the columns
// src_addr and dst_addr keep it.
func bareURI(value string) string {
	a, err := sip.ParseNameAddr(value)
	if err != nil {
		return ""
	}
	a.URI.Params, a.URI.Header = nil, ""
	return a.URI.String()
}
