package imc

import (
	"time"

	"silod/limit"
	"silod/sip"
)

// A userRoom is the key of the meters: the limits are per user and room.
type userRoom struct{ user, room sip.AoR }

// maxMetered is the number of pairs of user and room that a meter holds.
const maxMetered = 100_000

// newMeter returns a meter that refuses others when it is full.
func newMeter() *limit.Meter[userRoom] {
	return limit.NewMeter[userRoom](maxMetered, limit.Refuse)
}

// newRequestMeter returns the meter of messages and commands. A full one gives up the users that
// have sent least: a flood of names of rooms must not refuse the messages of other users.
func newRequestMeter() *limit.Meter[userRoom] {
	return limit.NewMeter[userRoom](maxMetered, limit.EvictLeast)
}

// requestRate limits messages and commands.
func (c *Config) requestRate() limit.Rate {
	return limit.Rate{N: c.MaxRate, Per: time.Minute}
}

// checkRate counts a request against the sender's limit. It returns a refusal if there
// are too many; only the first one of a series is explained to the sender.
func (s *Service) checkRate(req *Request) error {
	rate := s.config().requestRate()
	wait, ok, first := s.requests.Take(userRoom{req.Sender.AoR, req.Room}, rate, s.now())
	if ok {
		return nil
	}
	refused := refuse("too_fast", "limit", itoa(rate.N))
	refused.wait, refused.silent = wait, !first
	return refused
}

// sweepMeters removes the users that have their whole limit again.
func (s *Service) sweepMeters(now time.Time) {
	s.requests.Sweep(s.config().requestRate(), now)
	s.joinAttempts.Sweep(joinAttemptRate, now)
	s.consent.sweep(now)
	s.roomAttempts.Sweep(attemptsRate, now)
	s.nickChanges.Sweep(nickRate, now)
	s.echoed.Sweep(echoRate, now)
}
