package silo

import (
	"time"

	"silod/sip"
)

// A Class says how a message for a user is handled.
type Class struct {
	Keep    bool      // it may be stored; if not, it is relayed at once or dropped
	NowOnly bool      // it is of use only now: it neither waits for others nor is stored first
	Copies  bool      // every device of the recipient gets a copy
	SendAt  time.Time // when it is to be delivered; zero: now
	Err     error     // ErrTime: the time of delivery cannot be read, and SendAt is zero
}

// Classify returns the class of a message for a user of this server.
func (s *Service) Classify(in *Incoming) Class {
	cfg := s.cfg()
	c := Class{Keep: !cfg.Ephemeral(in.Message.Header("Content-Type")), Copies: s.opt.Every && s.checkSender(cfg, in) == nil}
	seconds, ok := expires(in.Message)
	c.NowOnly = !c.Keep || ok && seconds == 0
	c.SendAt, c.Err = s.sendAt(cfg, in)
	return c
}

// sendAt returns when a message is to be delivered: the zero time for now, also if
// the time that it names is past. Its error is ErrTime.
func (s *Service) sendAt(cfg *Settings, in *Incoming) (time.Time, error) {
	now := s.opt.Now()
	if cfg.SendAt == nil || !cfg.reminders() {
		return time.Time{}, nil
	}
	text := cfg.SendAt.expand(in.values(now))
	if text == "" {
		return time.Time{}, nil
	}
	at, err := ParseTime(text, cfg.Zone)
	if err != nil || !at.After(now) {
		return time.Time{}, err
	}
	return at, nil
}

// Discards reports whether a message, for a user or a room, is answered with a 2xx and
// then dropped: the configuration says so of its media type, or it is for an address
// that notices or reminders come from. Phones answer every text that they get, so an
// answer to them would start an endless exchange.
func (s *Service) Discards(in *Incoming) bool {
	cfg := s.cfg()
	return cfg.Discard(in.Message.Header("Content-Type")) || s.isServiceAddress(cfg, in, in.Owner)
}

// isServiceAddress reports whether notices or reminders come from an address.
func (s *Service) isServiceAddress(cfg *Settings, in *Incoming, a sip.AoR) bool {
	if cfg.Reminder != "" && s.sameAddress(cfg.Reminder, a) {
		return true
	}
	// NoticeFrom may take its domain from the message. The answer to a notice has the
	// same domain as the message that caused the notice.
	return cfg.NoticeFromFixed && s.sameAddress(cfg.NoticeFrom.expand(in.values(s.opt.Now())), a)
}

func (s *Service) sameAddress(uri string, a sip.AoR) bool {
	u, err := sip.ParseURI(uri)
	if err != nil {
		return false
	}
	b, _ := s.opt.Domains.AoR(u)
	return b == a
}

// StoreOn reports whether a message is stored after a device has answered with a
// status.
func (s *Service) StoreOn(status int) bool { return s.cfg().StoreOn(status) }

// Every reports whether every device of a recipient gets a copy.
func (s *Service) Every() bool { return s.opt.Every }
