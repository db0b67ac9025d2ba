package silo

import (
	"context"
	"errors"
	"time"

	"silod/limit"
	"silod/sip"
)

// ErrSender is the error of Put if messages of the sender are not stored.
var ErrSender = errors.New("messages of this sender are not stored")

// checkSender returns ErrSender if messages of the sender are not stored.
func (s *Service) checkSender(cfg *Settings, in *Incoming) error {
	if cfg.Senders == nil || in.Own || in.Caller == (sip.Sender{}) || cfg.Senders.Allows(s.opt.Domains, in.Caller) {
		return nil
	}
	return ErrSender
}

// chargesAgain is how long after a reading the charges are read again if a message is refused:
// another program may have deleted some.
const chargesAgain = 5 * time.Second

// admit counts a message against all limits that concern it, unless one forbids it. settle must
// be called when the message was stored, or could not be.
func (s *Service) admit(ctx context.Context, cfg *Settings, in *Incoming, row *Message) (settle func(stored bool), err error) {
	bytes := Size(&row.Message)
	var undo []func(stored bool)
	settle = func(stored bool) {
		for _, f := range undo {
			f(stored)
		}
	}
	switch {
	case in.Own:
	case in.Standing == Stranger:
		c := &Charge{Source: limit.NetworkOf(in.Source.Addr()).Prefix(), Bytes: bytes}
		if err := s.reserveCharge(ctx, cfg, c); err != nil {
			return nil, err
		}
		if !in.Feigned {
			row.Charge = c
		}
		undo = append(undo, func(stored bool) {
			if stored && in.Feigned {
				s.strangers.feign(c, row.Expires)
				return
			}
			s.strangers.settle(c)
		})
	case in.Standing == Verified:
		if err := s.totals.reserve(row.Src, bytes, cfg.Sender, s.opt.Now()); err != nil {
			s.Stats.OverSenderTotal.Inc()
			return nil, err
		}
		undo = append(undo, func(stored bool) {
			if !stored {
				s.totals.remove(row.Src, bytes)
			}
		})
	}
	d, err := s.reserve(ctx, cfg, row, in.Feigned)
	if err != nil {
		settle(false)
		return nil, err
	}
	if d != nil {
		undo = append(undo, d.settle)
	}
	return settle, nil
}

// reserveCharge counts a stranger's message in the ledger. If it is refused, messages that
// another program has deleted are looked for.
func (s *Service) reserveCharge(ctx context.Context, cfg *Settings, c *Charge) error {
	err := s.strangers.reserve(c, cfg.Source, cfg.Strangers)
	if err != nil && s.strangers.due(s.opt.Now(), chargesAgain) {
		if lerr := s.strangers.load(ctx, s.opt.Store.Charges); lerr != nil {
			s.opt.Log.Warn("messages of strangers not counted", "error", lerr)
		}
		err = s.strangers.reserve(c, cfg.Source, cfg.Strangers)
	}
	if err != nil {
		s.Stats.OverStrangers.Inc()
	}
	return err
}

// uncount notes that a message with a size was delivered and deleted.
func (s *Service) uncount(owner sip.AoR, src string, bytes int64) {
	s.accounts.delivered(owner, src, bytes)
	s.totals.remove(src, bytes)
}

// removed notes that a message or a reminder was deleted without having been delivered.
func (s *Service) removed(m *Message) {
	s.accounts.removed(m.Owner)
	s.totals.remove(m.Src, Size(&m.Message))
}
