package silo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"silod/im"
)

// ErrTime is the error of ParseTime.
var ErrTime = errors.New("no time such as 20270101090000 or 2027-01-01T09:00:00Z")

// ParseTime parses the time of a reminder: YYYYMMDDHHMMSS in a zone, or RFC 3339. Its
// error is ErrTime.
func ParseTime(s string, zone *time.Location) (time.Time, error) {
	const digits = "20060102150405"
	if len(s) == len(digits) {
		if t, err := time.ParseInLocation(digits, s, zone); err == nil {
			return t, nil
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, ErrTime
	}
	return t, nil
}

// reminderPrefix begins the Call-ID of every message of a reminder.
const reminderPrefix = "silo-reminder-"

// reminderChunk is the number of reminders that are read at once.
const reminderChunk = 100

// sendReminders turns the reminders that are due into messages, which are delivered like
// all others. The message replaces the reminder in one transaction, so a reminder is
// sent once, even after a crash.
func (s *Service) sendReminders(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := s.opt.Store.Due(ctx, s.opt.Now(), reminderChunk)
		if err != nil {
			s.opt.Log.Warn("reminders not read", "error", err)
			return
		}
		for i := range due {
			if err := s.releaseReminder(ctx, &due[i]); err != nil {
				s.opt.Log.Warn("reminder not sent", "id", due[i].ID, "owner", due[i].Owner, "error", err)
				return
			}
		}
		if len(due) < reminderChunk {
			return
		}
	}
}

// releaseReminder replaces a reminder by its message. If that message cannot be
// stored, the reminder is set aside, so that it does not block those behind it.
func (s *Service) releaseReminder(ctx context.Context, r *Message) error {
	m := s.reminderMessage(r)
	ok, err := s.opt.Store.Release(ctx, r.ID, m)
	if errors.Is(err, ErrInvalid) {
		s.Stats.FailedReminders.Inc()
		if _, err = s.opt.Store.SetAside(ctx, r.ID, err.Error(), nil); err != nil {
			return fmt.Errorf("set reminder aside: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("release reminder: %w", err)
	}
	if ok {
		s.accounts.removed(r.Owner)
		s.schedule(r.Owner, true)
	}
	return nil
}

// reminderMessage returns the message of a reminder.
func (s *Service) reminderMessage(r *Message) *Message {
	now := s.opt.Now()
	id := reminderPrefix + strconv.FormatInt(r.ID, 10) + "-" + strconv.FormatInt(r.Stored.Unix(), 10)
	m := *r
	m.ID, m.Stored, m.SendAt = 0, now.Truncate(time.Second), time.Time{}
	m.Message = im.Message{
		From:    "<" + s.cfg().Reminder + ">;tag=" + id,
		To:      r.To,
		CallID:  id + "@" + r.Owner.Domain,
		CSeq:    1,
		Headers: addField(withoutInternal(r.Headers), fieldReminder, r.SendAt.UTC().Format(time.RFC3339)),
		Body:    r.Body,
	}
	return &m
}
