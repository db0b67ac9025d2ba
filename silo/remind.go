package silo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"silod/im"
)

// ErrTime is the error for a reminder's time that cannot be read.
var ErrTime = errors.New("no time such as 20270101090000 or 2027-01-01T09:00:00Z")

// ParseTime parses the time of a reminder: YYYYMMDDHHMMSS in a zone, or RFC 3339.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	const digits = "20060102150405"
	if len(s) == len(digits) {
		if t, err := time.ParseInLocation(digits, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Parse(time.RFC3339, s)
}

// remindChunk is how many reminders are read at once.
const remindChunk = 100

// remind turns the reminders whose time has come into messages, which are then
// delivered as all others: each once, whatever dies meanwhile, because the one
// takes the other's place in one transaction.
func (s *Service) remind(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := s.opt.Store.Due(ctx, s.opt.Now(), remindChunk)
		if err != nil {
			s.opt.Log.Warn("look for reminders", "error", err)
			return
		}
		for i := range due {
			if err := s.release(ctx, &due[i]); err != nil {
				s.opt.Log.Warn("reminder not sent", "id", due[i].ID, "owner", due[i].Owner, "error", err)
				return
			}
		}
		if len(due) < remindChunk {
			return
		}
	}
}

// release turns one reminder into a message. One of which no message can be made
// is set aside, so that it does not stand before the others for ever.
func (s *Service) release(ctx context.Context, r *Message) error {
	m := s.reminder(r)
	ok, err := s.opt.Store.Release(ctx, r.ID, m)
	if errors.Is(err, ErrInvalid) {
		s.Stats.FailedReminders.Inc()
		if _, err = s.opt.Store.SetAside(ctx, r.ID, err.Error()); err != nil {
			return fmt.Errorf("set reminder aside: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("release reminder: %w", err)
	}
	if ok && s.opt.Online(r.Owner) {
		s.opt.Waker.Wake(r.Owner)
	}
	return nil
}

// reminder makes the message that reminds somebody.
func (s *Service) reminder(r *Message) *Message {
	now := s.opt.Now()
	id := "silo-reminder-" + strconv.FormatInt(r.ID, 10) + "-" + strconv.FormatInt(r.Stored.Unix(), 10)
	m := *r
	m.ID, m.Stored, m.SendAt = 0, now.Truncate(time.Second), time.Time{}
	m.Message = im.Message{
		From:    "<" + s.cfg().Reminder + ">;tag=" + id,
		To:      r.To,
		CallID:  id + "@" + r.Owner.Domain,
		CSeq:    1,
		Headers: mark(unmarked(r.Headers), markReminder, r.SendAt.UTC().Format(time.RFC3339)),
		Body:    r.Body,
	}
	return &m
}
