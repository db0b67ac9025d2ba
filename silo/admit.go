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

// chargesEvery is the time after which the charges are read again in any case.
const chargesEvery = time.Hour

// readTimeout limits each reading that is necessary before a message is stored. The time in which a
// connection to a database must answer is limited, but not the time until one is free.
const readTimeout = putTimeout

// An admission is a message that was counted against all limits that concern it.
type admission struct {
	bytes   int64
	charge  *Charge // of a stranger; or nil
	total   bool    // counted among those of its sender
	deposit deposit
}

// admit counts a message against all limits that concern it, unless one forbids it. settle must
// be called when the message was stored, or could not be.
func (s *Service) admit(ctx context.Context, cfg *Settings, in *Incoming, row *Message) (admission, error) {
	a := admission{bytes: Size(&row.Message)}
	switch {
	case in.Own:
	case in.Standing == Stranger:
		a.charge = &Charge{Source: limit.NetworkOf(in.Source.Addr()).Prefix(), Bytes: a.bytes}
		if err := s.reserveCharge(ctx, cfg, a.charge); err != nil {
			return a, err
		}
	case in.Standing == Verified:
		if err := s.totals.reserve(row.Src, a.bytes, cfg.Sender, s.opt.Now()); err != nil {
			s.Stats.OverSenderTotal.Inc()
			return a, err
		}
		a.total = true
	}
	if !in.Feigned {
		row.Charge = a.charge
	}
	var err error
	if a.deposit, err = s.reserve(ctx, cfg, row, a.bytes, in.Feigned); err != nil {
		s.settle(&a, in, row, false)
	}
	return a, err
}

// settle ends an admission.
func (s *Service) settle(a *admission, in *Incoming, row *Message, stored bool) {
	switch {
	case a.charge != nil && stored && in.Feigned:
		s.strangers.feign(a.charge, row.Expires)
	case a.charge != nil:
		s.strangers.settle(a.charge)
	case a.total && !stored:
		s.totals.cancel(row.Src, a.bytes)
	}
	a.deposit.settle(stored)
}

// reserveCharge counts a stranger's message in the ledger. If it is refused, messages that
// another program has deleted are looked for.
func (s *Service) reserveCharge(ctx context.Context, cfg *Settings, c *Charge) error {
	err := s.strangers.reserve(c, cfg.Source, cfg.Strangers)
	if err != nil && s.loadCharges(ctx, chargesAgain) {
		err = s.strangers.reserve(c, cfg.Source, cfg.Strangers)
	}
	if err != nil {
		s.Stats.OverStrangers.Inc()
	}
	return err
}

// loadCharges reads the charges again if that is due, and reports whether it was.
func (s *Service) loadCharges(ctx context.Context, every time.Duration) bool {
	if !s.strangers.due(s.opt.Now(), every) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if err := s.strangers.load(ctx, s.opt.Store.Charges); err != nil {
		s.opt.Log.Warn("messages of strangers not counted", "error", err)
	}
	return true
}

// sweepCharges forgets the charges of messages that have expired, or that another program has
// deleted, and finds those of transactions with an unknown outcome.
func (s *Service) sweepCharges(ctx context.Context) {
	s.strangers.sweep(s.opt.Now())
	s.loadCharges(ctx, chargesEvery)
}

// uncount notes that a message with a size was delivered and deleted.
func (s *Service) uncount(owner sip.AoR, src string, bytes int64) {
	s.accounts.change(accountKey{owner, false}, src, -1, -bytes)
	s.totals.remove(src, bytes)
}

// removed notes that a message or a reminder was deleted without having been delivered.
// Deliveries to some devices were noted before.
func (s *Service) removed(m *Message, reminder bool) {
	size := Size(&m.Message)
	if m.Copies == 0 {
		s.accounts.change(accountKey{m.Owner, reminder}, m.Src, -1, -size)
	}
	s.totals.remove(m.Src, size)
}
