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

const (
	reminderChunk = 128  // reminders that are released in one transaction, which must be short
	maxUnsent     = 1000 // reminders that could not be released now, after which the others wait too
)

// sendReminders turns the reminders that are due into messages, which are delivered like
// all others. The messages replace the reminders in one transaction, so a reminder is
// sent once, even after a crash. A reminder that cannot be released does not delay the others.
func (s *Service) sendReminders(ctx context.Context) {
	var last *Message
	for unsent := 0; ctx.Err() == nil && unsent < maxUnsent; {
		due, err := s.opt.Store.Due(ctx, s.opt.Now(), last, reminderChunk)
		if err != nil {
			s.opt.Log.Warn("reminders not read", "error", err)
			return
		}
		n, err := s.releaseReminders(ctx, due)
		if err != nil {
			s.opt.Log.Warn("reminders not sent", "count", n, "error", err)
			if n == len(due) {
				return
			}
		}
		if len(due) < reminderChunk {
			return
		}
		unsent, last = unsent+n, &due[len(due)-1]
	}
}

// slowRelease is the time after which a release that has failed is not tried by halves: the
// database is away, and has not refused one of the reminders.
const slowRelease = time.Second

// releaseReminders replaces reminders by their messages. It returns the number of those that it could
// not replace now, with an error of one. A reminder is set aside if its message cannot be stored.
func (s *Service) releaseReminders(ctx context.Context, rs []Message) (unsent int, err error) {
	if len(rs) == 0 {
		return 0, nil
	}
	list := make([]Release, len(rs))
	for i := range rs {
		list[i] = Release{rs[i].ID, s.reminderMessage(&rs[i])}
	}
	begun := time.Now()
	err = s.opt.Store.Release(ctx, list)
	switch {
	case err == nil:
		for i := range rs {
			if list[i].Message.ID != 0 {
				s.released(&rs[i], list[i].Message)
			}
		}
		return 0, nil
	case ctx.Err() != nil || time.Since(begun) > slowRelease:
		return len(rs), fmt.Errorf("release reminders: %w", err)
	case len(rs) == 1 && errors.Is(err, ErrInvalid):
		s.Stats.FailedReminders.Inc()
		if _, err = s.opt.Store.SetAside(ctx, rs[0].ID, err.Error(), nil); err != nil {
			return 1, fmt.Errorf("set reminder aside: %w", err)
		}
		return 0, nil
	case len(rs) == 1:
		return 1, fmt.Errorf("release reminder %d of %s: %w", rs[0].ID, rs[0].Owner, err)
	}
	unsent, err = s.releaseReminders(ctx, rs[:len(rs)/2])
	if errors.Is(err, ErrBusy) && time.Since(begun) > slowRelease {
		return unsent + len(rs) - len(rs)/2, err
	}
	n, more := s.releaseReminders(ctx, rs[len(rs)/2:])
	if err == nil {
		err = more
	}
	return unsent + n, err
}

// released starts the delivery of a message that has replaced a reminder.
func (s *Service) released(r, m *Message) {
	s.accounts.change(accountKey{r.Owner, true}, r.Src, -1, -Size(&r.Message))
	s.accounts.change(accountKey{r.Owner, false}, m.Src, 1, Size(&m.Message))
	s.schedule(r.Owner, true)
}

// reminderMessage returns the message of a reminder.
func (s *Service) reminderMessage(r *Message) *Message {
	now := s.opt.Stamp()
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
