package imc

import (
	"slices"

	"silod/sip"
)

// A seat is a membership that counts towards Config.MaxRoomsPerUser. Seats are
// reserved before a change is written, so that the limits hold for concurrent
// changes, and freed if the write fails.

// A user is a member of at least one room.
type user struct {
	rooms []*room // includes closed rooms
	seats int
}

// reserve reserves the seats, and for a new room the place among MaxRooms, that a
// change takes up.
func (s *Service) reserve(r *room, c *Change, joining []sip.AoR) error {
	// The limits of the room itself need no reservation: its state lock is held.
	if limit := s.config().MaxMembers; limit > 0 {
		in, sanctioned := r.countNew(c)
		switch {
		case in > 0 && len(r.members)-r.outside+in > limit:
			return refuse("room_full", "limit", itoa(limit)).in(r.name)
		case sanctioned > 0 && r.sanctions+sanctioned > limit:
			return refuse("too_many_bans", "limit", itoa(limit)).in(r.name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Closed rooms with entries to deliver may be as many again.
	if limit := s.config().MaxRooms; !r.stored && limit > 0 && (s.active+s.creating >= limit || len(s.rooms) > 2*limit) {
		return refuse("no_more_rooms", "limit", itoa(limit)).in(r.name)
	}
	if limit := s.config().MaxRoomsPerUser; limit > 0 {
		for _, u := range joining {
			if x := s.users[u]; x != nil && x.seats >= limit {
				return refuse("too_many_rooms", "limit", itoa(limit), "user", displayName(u, r.name)).in(r.name)
			}
		}
	}
	for _, u := range joining {
		s.userRecord(u).seats++
	}
	if !r.stored {
		s.creating++
	}
	return nil
}

// countNew returns how many users a change adds to the members and invited users, and how
// many to those that are banned or muted.
func (r *room) countNew(c *Change) (in, sanctioned int) {
	count := func(m *Member, n int) {
		if !m.isOutside() {
			in += n
		}
		if m.isSanctioned() {
			sanctioned += n
		}
	}
	for i := range c.Put {
		if was := r.index[c.Put[i].User]; was != nil {
			count(&was.Member, -1)
		}
		count(&c.Put[i], 1)
	}
	for _, u := range c.Remove {
		if was := r.index[u]; was != nil {
			count(&was.Member, -1)
		}
	}
	return in, sanctioned
}

// userRecord returns a user's record and adds a missing one. The caller holds s.mu.
func (s *Service) userRecord(u sip.AoR) *user {
	x := s.users[u]
	if x == nil {
		x = new(user)
		s.users[u] = x
	}
	return x
}

// cancelReservation undoes reserve.
func (s *Service) cancelReservation(r *room, joining []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range joining {
		s.freeSeat(u)
	}
	if !r.stored {
		s.creating--
	}
}

// freeSeat frees one of a user's seats. The caller holds s.mu.
func (s *Service) freeSeat(u sip.AoR) {
	x := s.users[u]
	if x == nil {
		return
	}
	if x.seats--; x.seats <= 0 && len(x.rooms) == 0 {
		delete(s.users, u)
	}
}

// addMemberships adds a room to the records of its new members, where Next finds it,
// and counts a new room.
func (s *Service) addMemberships(r *room, users []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.stored {
		s.creating--
		s.active++
	}
	for _, u := range users {
		x := s.userRecord(u)
		x.rooms = append(x.rooms, r)
	}
}

// removeMemberships removes a room from the records of users and frees their seats;
// those of a closed room are free already.
func (s *Service) removeMemberships(r *room, users []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		x := s.users[u]
		if x == nil {
			continue
		}
		x.rooms = slices.DeleteFunc(slices.Clone(x.rooms), func(y *room) bool { return y == r })
		if !r.Closed {
			x.seats--
		}
		if x.seats <= 0 && len(x.rooms) == 0 {
			delete(s.users, u)
		}
	}
}

// freeSeats frees all seats of a room that has just been closed. Its members keep it
// in their records until it is deleted, because they have entries to get.
func (s *Service) freeSeats(r *room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	for _, m := range r.members {
		if m.joined() {
			s.users[m.User].seats--
		}
	}
}

// roomsOf returns the rooms of which a user is a member, including closed ones. The
// caller must not write to the list; it may grow at its end, and is replaced when a
// room is removed.
func (s *Service) roomsOf(u sip.AoR) []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.users[u]; x != nil {
		return x.rooms
	}
	return nil
}
