package imc

import (
	"slices"

	"silod/sip"
)

// What belongs to users rather than to one room: in which rooms they are, and what
// of the limits they take up. A seat is reserved before the store is asked, so that
// the limits hold however many come at once, and given back where it fails.

// user is a member of at least one room.
type user struct {
	rooms []*room // closed ones among them
	seats int     // rooms that count towards Config.MaxRoomsPerUser
}

// seat reserves what a change takes up of the limits.
func (s *Service) seat(r *room, c *Change, comes []sip.AoR) error {
	// The room's own limits need no reservation: its step lock is held.
	if most := s.cfg().MaxMembers; most > 0 {
		in, out := r.news(c)
		switch {
		case in > 0 && len(r.members)-r.banned+in > most:
			return refuse("room_full", "limit", itoa(most)).in(r.name)
		case out > 0 && r.banned+out > most:
			return refuse("too_many_bans", "limit", itoa(most)).in(r.name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Destroyed rooms whose end somebody has still to hear may be as many again.
	if most := s.cfg().MaxRooms; !r.made && most > 0 && (s.live+s.making >= most || len(s.rooms) > 2*most) {
		return refuse("no_more_rooms", "limit", itoa(most)).in(r.name)
	}
	if most := s.cfg().MaxRoomsPerUser; most > 0 {
		for _, u := range comes {
			if x := s.users[u]; x != nil && x.seats >= most {
				return refuse("too_many_rooms", "limit", itoa(most), "user", display(u, r.name)).in(r.name)
			}
		}
	}
	for _, u := range comes {
		s.entry(u).seats++
	}
	if !r.made {
		s.making++
	}
	return nil
}

// news counts the users that a change lets in, and those that it bans.
func (r *room) news(c *Change) (in, out int) {
	for _, p := range c.Put {
		switch was := r.index[p.User]; {
		case p.Role == Banned && (was == nil || was.Role != Banned):
			out++
		case p.Role != Banned && (was == nil || was.Role == Banned):
			in++
		}
	}
	return in, out
}

// entry finds or makes a user's record. The caller holds s.mu.
func (s *Service) entry(u sip.AoR) *user {
	x := s.users[u]
	if x == nil {
		x = new(user)
		s.users[u] = x
	}
	return x
}

// unseat gives back what seat has reserved.
func (s *Service) unseat(r *room, comes []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range comes {
		s.leave(u)
	}
	if !r.made {
		s.making--
	}
}

// leave frees one of a user's seats. The caller holds s.mu.
func (s *Service) leave(u sip.AoR) {
	x := s.users[u]
	if x == nil {
		return
	}
	if x.seats--; x.seats <= 0 && len(x.rooms) == 0 {
		delete(s.users, u)
	}
}

// enrol lets Next find the room for its new members, and counts a new room.
func (s *Service) enrol(r *room, users []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !r.made {
		s.making--
		s.live++
	}
	for _, u := range users {
		x := s.entry(u)
		x.rooms = append(x.rooms, r)
	}
}

// strike undoes enrol and frees the seats, those of a closed room being free already.
func (s *Service) strike(r *room, users []sip.AoR) {
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

// vacate frees the seats in a room that is being closed. Its members stay
// enrolled until they have got the last entry.
func (s *Service) vacate(r *room) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live--
	for _, m := range r.members {
		if m.seated() {
			s.users[m.User].seats--
		}
	}
}

// roomsOf gives the rooms in which a user is a member, closed ones among them. The
// list is shared: it may grow at its end, and is replaced when something is taken out.
func (s *Service) roomsOf(u sip.AoR) []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.users[u]; x != nil {
		return x.rooms
	}
	return nil
}
