package imc

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"silod/sip"
)

// A roomList is a list of rooms in the order of their names. It is kept, because sorting a
// hundred thousand rooms for each #rooms would delay messages.
type roomList []*room

// compareNames orders names of rooms: by domain, then by user part.
func compareNames(a, b sip.AoR) int {
	return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.User, b.User))
}

// find returns the index of the first room with a name that is not before name.
func (l roomList) find(name sip.AoR) (int, bool) {
	return slices.BinarySearchFunc(l, name, func(r *room, name sip.AoR) int { return compareNames(r.name, name) })
}

func (l *roomList) insert(r *room) {
	if i, found := l.find(r.name); !found {
		*l = slices.Insert(*l, i, r)
	}
}

func (l *roomList) remove(r *room) {
	if i, found := l.find(r.name); found && (*l)[i] == r {
		*l = slices.Delete(*l, i, i+1)
	}
}

func (l roomList) sort() {
	slices.SortFunc(l, func(a, b *room) int { return compareNames(a.name, b.name) })
}

// listing returns the list that a room belongs to, nil if it does not exist for users. The
// caller holds stateMu or mu of the room.
func (s *Service) listing(r *room) *roomList {
	switch {
	case !r.exists():
		return nil
	case r.Private:
		return &s.private
	}
	return &s.public
}

// relist moves a room between lists after a change.
func (s *Service) relist(r *room, from, to *roomList) {
	if from == to {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if from != nil {
		from.remove(r)
	}
	if to != nil {
		to.insert(r)
	}
}

// sortedRooms returns the rooms that exist for users in the order of their names. They may be
// destroyed while they are examined.
func (s *Service) sortedRooms() iter.Seq[*room] {
	s.mu.RLock()
	lists := [2]roomList{slices.Clone(s.public), slices.Clone(s.private)}
	s.mu.RUnlock()
	return func(yield func(*room) bool) {
		for len(lists[0])+len(lists[1]) > 0 {
			i := 0
			if len(lists[0]) == 0 || len(lists[1]) > 0 && compareNames(lists[1][0].name, lists[0][0].name) < 0 {
				i = 1
			}
			if !yield(lists[i][0]) {
				return
			}
			lists[i] = lists[i][1:]
		}
	}
}

// visibleRooms returns the first rooms that a user can see, from a name on and at most limit,
// and the number of all of them: the public ones, and the private ones of which the user is a
// member or to which it is invited.
func (s *Service) visibleRooms(user, from sip.AoR, limit int) (rooms []*room, count int) {
	s.mu.RLock()
	i, _ := s.public.find(from)
	public := s.public[i:]
	rooms, count = slices.Clone(public[:min(limit, len(public))]), len(public)
	var own []*room
	if x := s.users[user]; x != nil {
		own = slices.Clone(x.rooms)
	}
	own = append(own, s.invited[user]...)
	s.mu.RUnlock()
	own = slices.DeleteFunc(own, func(r *room) bool { return compareNames(r.name, from) < 0 || !r.isPrivate() })
	rooms = append(rooms, own...)
	roomList(rooms).sort()
	return rooms[:min(limit, len(rooms))], count + len(own)
}

// isPrivate reports whether a room exists and is private.
func (r *room) isPrivate() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.exists() && r.Private
}

// invitations returns the users that a change invites, and those whose invitation it ends.
// The caller holds stateMu.
func (r *room) invitations(c *Change) (invited, ended []sip.AoR) {
	isInvited := func(u sip.AoR) bool { m := r.find(u); return m != nil && m.Role == Invited }
	for _, p := range c.Put {
		switch was := isInvited(p.User); {
		case p.Role == Invited && !was:
			invited = append(invited, p.User)
		case p.Role != Invited && was:
			ended = append(ended, p.User)
		}
	}
	for _, u := range c.Remove {
		if isInvited(u) {
			ended = append(ended, u)
		}
	}
	if c.Room.Closed && !r.Closed {
		for _, m := range r.members {
			if m.Role == Invited {
				ended = append(ended, m.User)
			}
		}
	}
	return invited, ended
}

// setInvitations adds a room to the lists of the invited users, and removes it from those of
// the others.
func (s *Service) setInvitations(r *room, invited, ended []sip.AoR) {
	if len(invited)+len(ended) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range ended {
		left := slices.DeleteFunc(s.invited[u], func(y *room) bool { return y == r })
		if s.invited[u] = left; len(left) == 0 {
			delete(s.invited, u)
		}
	}
	for _, u := range invited {
		s.invited[u] = append(s.invited[u], r)
	}
}
