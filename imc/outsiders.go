package imc

import (
	"time"

	"silod/limit"
	"silod/sip"
)

// A private room does not exist for an outsider: each request is answered as if the name had no
// room, with the same text and reason phrase. Only the creation of the room, which would succeed
// otherwise, is refused with a text of its own.

// isHiddenFrom reports whether a room does not exist for a user, which is neither a member nor
// invited. The caller holds stateMu or mu.
func (r *room) isHiddenFrom(u sip.AoR) bool {
	m := r.find(u)
	return r.Private && !m.joined() && !m.isInvited()
}

// hides reports whether a room does not exist for the caller of a command. The caller holds
// stateMu or mu.
func (c *invocation) hides(r *room) bool {
	return !c.by.operator && r.isHiddenFrom(c.by.user)
}

// refuseOutsider returns the refusal of a #join or #create of a private room: the one for a room
// that does not exist, if there is one. The owner and the admins are notified of the attempt.
func (s *Service) refuseOutsider(c *invocation, r *room) error {
	if now := s.now(); !r.find(c.user).isBannedAt(now) && !r.find(c.by.account).isBannedAt(now) {
		s.notifyJoinAttempt(c, r)
	}
	if c.name == "join" && !s.config().CreateOnJoin {
		return refuse("no_room").in(r.name)
	}
	if err := s.checkCreation(c, r); err != nil {
		return err
	}
	if err := s.checkCreationRate(c, r); err != nil {
		return err
	}
	other := newRoom(r.name)
	change := Change{Room: Room{AoR: r.name, Creator: c.by.user}, Put: []Member{{User: c.user, Role: Owner}}}
	seats := other.seatsOf(&change)
	if err := s.reserve(other, &change, seats); err != nil {
		return err
	}
	s.cancelReservation(other, &change, seats)
	return refuse("private").in(r.name)
}

// Limits of the notices about attempts to join a private room.
var (
	joinAttemptRate = limit.Rate{N: 1, Per: time.Hour}  // of one user
	attemptsRate    = limit.Rate{N: 10, Per: time.Hour} // of all users
)

// notifyJoinAttempt notifies the owner and the admins of a private room that a user tried to
// join, unless one of the limits is reached. That there were too many users they are told once.
func (s *Service) notifyJoinAttempt(c *invocation, r *room) {
	now := s.now()
	if _, ok, _ := s.joinAttempts.Take(userRoom{c.user, r.name}, joinAttemptRate, now); !ok {
		return
	}
	text := s.text("attempted", r.name, "user", displayName(c.user, r.name))
	if _, ok, first := s.roomAttempts.Take(r.name, attemptsRate, now); !ok {
		if !first {
			return
		}
		text = s.text("more_attempts", r.name, "limit", itoa(attemptsRate.N))
	}
	for _, m := range r.members {
		if m.Role == Owner || m.Role == Admin {
			s.notifyOther(c, m.User, r.name, text)
		}
	}
}
