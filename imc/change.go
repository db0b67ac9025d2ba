package imc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"silod/address"
	"silod/delivery"
)

// The widths of Kamailio's columns: imc_members.room holds the room's URI.
const (
	maxRoomURI = 64
	maxUser    = 64
	maxDomain  = 64
	maxTopic   = 200 // ours
)

// commit writes a change, and only then makes it true in memory and tells the
// members of it. The caller holds r.step exclusively.
func (s *Service) commit(ctx context.Context, r *room, c Change) error {
	comes, goes := r.turnover(&c)
	if err := s.seat(r, &c, comes); err != nil {
		return err
	}
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, c); err != nil {
		s.unseat(r, comes)
		return fmt.Errorf("change room %s: %w", r.name, err)
	}
	s.enrol(r, comes)
	var posts []*post
	if c.Notice != nil {
		posts = append(posts, s.compose(c.Notice))
		s.stats.Notices.Add(1)
	}
	r.mu.Lock()
	closes := c.Room.Closed && !r.Closed
	r.apply(&c)
	hearers := s.publish(r, posts)
	r.mu.Unlock()
	if closes {
		s.vacate(r)
	}
	s.strike(r, goes)
	s.wake(hearers, posts)
	return nil
}

// turnover tells who becomes a member by a change, and who is none any more.
func (r *room) turnover(c *Change) (comes, goes []address.AoR) {
	for _, p := range c.Put {
		next := member{Member: p}
		switch was := r.index[p.User].seated(); {
		case next.seated() && !was:
			comes = append(comes, p.User)
		case !next.seated() && was:
			goes = append(goes, p.User)
		}
	}
	for _, u := range c.Remove {
		if r.index[u].seated() {
			goes = append(goes, u)
		}
	}
	return comes, goes
}

// seat reserves what a change takes up of the limits.
func (s *Service) seat(r *room, c *Change, comes []address.AoR) error {
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
	if most := s.cfg().MaxRooms; !r.made && most > 0 && s.live+s.making >= most {
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
func (s *Service) entry(u address.AoR) *user {
	x := s.users[u]
	if x == nil {
		x = new(user)
		s.users[u] = x
	}
	return x
}

// unseat gives back what seat has reserved.
func (s *Service) unseat(r *room, comes []address.AoR) {
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
func (s *Service) leave(u address.AoR) {
	x := s.users[u]
	if x == nil {
		return
	}
	if x.seats--; x.seats <= 0 && len(x.rooms) == 0 {
		delete(s.users, u)
	}
}

// enrol lets Next find the room for its new members, and counts a new room.
func (s *Service) enrol(r *room, users []address.AoR) {
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
func (s *Service) strike(r *room, users []address.AoR) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range users {
		x := s.users[u]
		if x == nil {
			continue
		}
		x.rooms = slices.DeleteFunc(x.rooms, func(y *room) bool { return y == r })
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

// notice makes an entry in which the room speaks to all its members.
func (s *Service) notice(c *call, r *room, key text, a ...string) *Entry {
	return &Entry{Room: r.name, From: r.name, At: s.stamp(), Message: delivery.Message{
		From:    "<" + r.name.String() + ">",
		To:      "<" + r.name.String() + ">",
		CallID:  c.by.call,
		Headers: []delivery.Header{plainText},
		Body:    []byte(s.text(key, r.name, a...)),
	}}
}

// newMember makes a member who is owed nothing that was said before.
func (s *Service) newMember(r *room, u address.AoR, role Role, by address.AoR) Member {
	return Member{User: u, Role: role, InvitedBy: by, Cursor: r.last, Seen: s.now()}
}

// storable checks a user's address against the columns that will hold it.
func storable(u address.AoR) error {
	switch {
	case len(u.User) > maxUser:
		return refuse("too_long", "value", clip(u.User), "limit", itoa(maxUser))
	case len(u.Domain) > maxDomain:
		return refuse("too_long", "value", clip(u.Domain), "limit", itoa(maxDomain))
	}
	return nil
}

// nameable checks the name of a room that is to be made.
func (s *Service) nameable(name address.AoR) error {
	switch {
	case s.isManager(name) || !s.cfg().pattern.MatchString(name.User):
		return refuse("bad_room", "value", clip(name.User), "pattern", s.cfg().RoomPattern)
	case len(name.String()) > maxRoomURI:
		return refuse("too_long", "value", clip(name.String()), "limit", itoa(maxRoomURI))
	}
	return nil
}

// bury deletes a closed room: everybody has got what was said in it, or its name is
// wanted for a new one. The caller holds r.step exclusively.
func (s *Service) bury(ctx context.Context, r *room) error {
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, Change{Room: r.Room, Delete: true}); err != nil {
		return fmt.Errorf("delete room %s: %w", r.name, err)
	}
	var users []address.AoR
	for _, m := range r.members {
		if m.seated() {
			users = append(users, m.User)
		}
	}
	s.strike(r, users)
	r.mu.Lock()
	before := r.tailSize
	r.trim(time.Time{}, 0)
	s.tails.Add(int64(r.tailSize - before))
	r.mu.Unlock()
	s.drop(r)
	return nil
}
