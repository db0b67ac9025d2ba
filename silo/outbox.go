package silo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"silod/im"
)

// answerAllowance is what answers to an owner's own requests may take beyond the quotas. So messages
// of others cannot fill a mailbox so that its owner gets no answer.
var answerAllowance = Usage{Messages: 100, Bytes: 1 << 20}

// An outgoing is a message of Send that is about to be stored.
type outgoing struct {
	in        *Incoming
	row       *Message
	admission admission
	index     int // in the list of Send
}

// Send stores messages of silod itself, in their order and in one commit. Recipients need not be
// users of this server. Those that are online, or can be reached otherwise, get them at once. A
// message for an unknown user is dropped. refused has the reason of each message that is not stored
// and need not be tried again; it is nil if there is none. An error is ErrBusy: nothing was stored.
func (s *Service) Send(ctx context.Context, ms []im.Outgoing) (refused []error, err error) {
	refused = make([]error, len(ms))
	list, err := s.prepareAll(ctx, ms, refused)
	if err != nil {
		return nil, err
	}
	err = s.addAll(ctx, list)
	switch {
	case !errors.Is(err, ErrInvalid):
	case len(list) == 1:
		refused[list[0].index], err = err, nil
	default:
		return s.sendEach(ctx, ms)
	}
	if err != nil || !slices.ContainsFunc(refused, func(err error) bool { return err != nil }) {
		refused = nil
	}
	return refused, err
}

// sendEach is Send with a commit for each message: one of them can never be stored.
func (s *Service) sendEach(ctx context.Context, ms []im.Outgoing) ([]error, error) {
	refused := make([]error, len(ms))
	for i := range ms {
		r, err := s.Send(ctx, ms[i:i+1])
		if err != nil {
			return nil, err
		}
		if r != nil {
			refused[i] = r[0]
		}
	}
	return refused, nil
}

// prepareAll returns the messages that can be stored, counted against the quotas, and notes why
// others cannot. Its error is ErrBusy.
func (s *Service) prepareAll(ctx context.Context, ms []im.Outgoing, refused []error) ([]outgoing, error) {
	list := make([]outgoing, 0, len(ms))
	for i := range ms {
		o := outgoing{in: incoming(&ms[i]), index: i}
		switch err := s.prepare(ctx, &o, ms[i].Answer); {
		case err == nil:
			list = append(list, o)
		case errors.Is(err, ErrBusy):
			s.settleAll(list, false)
			return nil, err
		case !errors.Is(err, ErrUnknownUser):
			refused[i] = err
		}
	}
	return list, nil
}

// addAll stores messages and starts their delivery.
func (s *Service) addAll(ctx context.Context, list []outgoing) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([]*Message, len(list))
	for i := range list {
		rows[i] = list[i].row
	}
	start := time.Now()
	err := s.opt.Store.AddAll(ctx, rows)
	s.settleAll(list, err == nil)
	if err != nil {
		return fmt.Errorf("store messages: %w", err)
	}
	s.Stats.Commit.Observe(time.Since(start))
	for i := range list {
		s.stored(list[i].in, list[i].row)
	}
	return nil
}

// settleAll ends the admissions of messages.
func (s *Service) settleAll(list []outgoing, stored bool) {
	for i := range list {
		s.settle(&list[i].admission, list[i].in, list[i].row, stored)
	}
}

func incoming(m *im.Outgoing) *Incoming {
	return &Incoming{Owner: m.To, URI: m.To.String(), Message: &m.Message, SafetyCopy: true, Own: true}
}

// prepare makes the row of a message and counts it against the quotas.
func (s *Service) prepare(ctx context.Context, o *outgoing, answer bool) error {
	cfg := s.cfg()
	var err error
	if o.row, err = s.newRow(cfg, o.in, s.opt.Now()); err != nil {
		return err
	}
	if _, err := s.checkOwner(ctx, cfg, o.in); err != nil {
		return err
	}
	if answer {
		cfg = cfg.forAnswers()
	}
	if o.admission, err = s.admit(ctx, cfg, o.in, o.row); err != nil {
		return fmt.Errorf("send to %s: %w", o.in.Owner, err)
	}
	return nil
}

// forAnswers returns settings with quotas for answers.
func (s *Settings) forAnswers() *Settings {
	more := *s
	more.Mailbox, more.PerSender = s.Mailbox.withAllowance(), s.PerSender.withAllowance()
	return &more
}

// withAllowance returns a limit that is higher by answerAllowance.
func (u Usage) withAllowance() Usage {
	if u.Messages > 0 {
		u.Messages += answerAllowance.Messages
	}
	if u.Bytes > 0 {
		u.Bytes += answerAllowance.Bytes
	}
	return u
}
