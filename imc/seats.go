package imc

import (
	"slices"

	"silod/sip"
)

// A seat is a membership that counts towards a limit of the user that has caused it: of a member
// that has joined itself towards its own Config.MaxRoomsPerUser, of one that a user has added
// towards the additions of that user. In the same way a room counts towards those of its Creator.
// Seats are reserved before a change is written, so that the limits hold for concurrent
// changes, and freed if the write fails.

// A user is a member of at least one room, or has caused a seat or a room.
type user struct {
	rooms   []*room // includes closed rooms
	seats   int     // of its own
	added   int     // seats of other users
	created int     // rooms that exist
}

// isIdle reports whether nothing is to be remembered of a user.
func (x *user) isIdle() bool {
	return len(x.rooms) == 0 && x.seats <= 0 && x.added <= 0 && x.created <= 0
}

// A seatChange is a number of seats that a user takes or frees.
type seatChange struct{ own, added int }

// charge adds the seat of a member to those of the user that has caused it. An operator has no
// limit.
func charge(changes map[sip.AoR]seatChange, r *room, m *Member, n int) {
	switch {
	case !m.joined() || m.AddedBy == r.name:
	case m.AddedBy.IsZero():
		x := changes[m.User]
		x.own += n
		changes[m.User] = x
	default:
		x := changes[m.AddedBy]
		x.added += n
		changes[m.AddedBy] = x
	}
}

// seatsOf returns the seats that a change takes and frees, by the user that causes them.
func (r *room) seatsOf(c *Change) map[sip.AoR]seatChange {
	changes := make(map[sip.AoR]seatChange, len(c.Put)+len(c.Remove))
	for i := range c.Put {
		if was := r.find(c.Put[i].User); was != nil {
			charge(changes, r, &was.Member, -1)
		}
		charge(changes, r, &c.Put[i], 1)
	}
	for _, u := range c.Remove {
		if was := r.find(u); was != nil {
			charge(changes, r, &was.Member, -1)
		}
	}
	return changes
}

// addedPerRoom is how many members a user may have added, for each room that it may join.
const addedPerRoom = 10

// roomShare returns how many of limit rooms one user may have created.
func roomShare(limit int) int { return max(8, limit/100) }

// reserve reserves the seats, and for a new room the place among MaxRooms, that a
// change takes up.
func (s *Service) reserve(r *room, c *Change, seats map[sip.AoR]seatChange) error {
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
	if err := s.checkSeats(r, c, seats); err != nil {
		return err
	}
	s.take(seats)
	if !r.stored {
		s.creating++
		s.addCreated(c.Room.Creator, 1)
	}
	return nil
}

// checkSeats checks the limits of users, and that of all rooms. The caller holds s.mu.
func (s *Service) checkSeats(r *room, c *Change, seats map[sip.AoR]seatChange) error {
	if limit := s.config().MaxRooms; !r.stored && limit > 0 {
		by, share := c.Room.Creator, roomShare(limit)
		if x := s.users[by]; !by.IsZero() && x != nil && x.created >= share {
			return refuse("too_many_own", "limit", itoa(share), "user", displayName(by, r.name)).in(r.name)
		}
		if s.active+s.creating >= limit {
			return refuse("no_more_rooms", "limit", itoa(limit)).in(r.name)
		}
	}
	limit := s.config().MaxRoomsPerUser
	if limit <= 0 {
		return nil
	}
	for u, n := range seats {
		switch x := s.users[u]; {
		case x == nil:
		case n.own > 0 && x.seats+n.own > limit:
			return refuse("too_many_rooms", "limit", itoa(limit), "user", displayName(u, r.name)).in(r.name)
		case n.added > 0 && x.added+n.added > limit*addedPerRoom:
			return refuse("too_many_added", "limit", itoa(limit*addedPerRoom), "user", displayName(u, r.name)).in(r.name)
		}
	}
	return nil
}

// take takes the seats of a change that are positive. The caller holds s.mu.
func (s *Service) take(seats map[sip.AoR]seatChange) {
	for u, n := range seats {
		if own, added := max(0, n.own), max(0, n.added); own+added > 0 {
			x := s.userRecord(u)
			x.seats, x.added = x.seats+own, x.added+added
		}
	}
}

// free frees the seats of a change that are negative. The caller holds s.mu.
func (s *Service) free(seats map[sip.AoR]seatChange) {
	for u, n := range seats {
		if x := s.users[u]; x != nil {
			x.seats, x.added = x.seats+min(0, n.own), x.added+min(0, n.added)
			s.dropIdle(u, x)
		}
	}
}

// addCreated changes the number of rooms of a creator. The caller holds s.mu.
func (s *Service) addCreated(u sip.AoR, n int) {
	if u.IsZero() {
		return
	}
	x := s.userRecord(u)
	x.created += n
	s.dropIdle(u, x)
}

// dropIdle forgets a user of which nothing is to be remembered. The caller holds s.mu.
func (s *Service) dropIdle(u sip.AoR, x *user) {
	if x.isIdle() {
		delete(s.users, u)
	}
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
		if was := r.find(c.Put[i].User); was != nil {
			count(&was.Member, -1)
		}
		count(&c.Put[i], 1)
	}
	for _, u := range c.Remove {
		if was := r.find(u); was != nil {
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
func (s *Service) cancelReservation(r *room, c *Change, seats map[sip.AoR]seatChange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(taken(seats))
	if !r.stored {
		s.creating--
		s.addCreated(c.Room.Creator, -1)
	}
}

// taken returns the changes that free the seats that a change takes.
func taken(seats map[sip.AoR]seatChange) map[sip.AoR]seatChange {
	back := make(map[sip.AoR]seatChange, len(seats))
	for u, n := range seats {
		back[u] = seatChange{-max(0, n.own), -max(0, n.added)}
	}
	return back
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

// removeMemberships removes a room from the records of users.
func (s *Service) removeMemberships(r *room, users []sip.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		if x := s.users[u]; x != nil {
			x.rooms = slices.DeleteFunc(slices.Clone(x.rooms), func(y *room) bool { return y == r })
			s.dropIdle(u, x)
		}
	}
}

// freeSeats frees the seats that a change frees.
func (s *Service) freeSeats(seats map[sip.AoR]seatChange) {
	if len(seats) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(seats)
}

// freePlace frees all seats of a room that has just been closed, and its place among the rooms. Its
// members keep it in their records until it is deleted, because they have entries to get.
func (s *Service) freePlace(r *room) {
	seats := make(map[sip.AoR]seatChange)
	for _, m := range r.members {
		charge(seats, r, &m.Member, -1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active--
	s.addCreated(r.Creator, -1)
	s.free(seats)
	s.retire(r)
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
