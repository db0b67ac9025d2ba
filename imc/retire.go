package imc

import (
	"cmp"
	"slices"

	"silod/sip"
)

// Closed rooms with entries to deliver are kept for a while, but a user that creates and destroys
// rooms must not fill the memory with them: of a user as many are kept as rooms of one user may
// exist, and of all users as many as rooms may exist. The oldest ones give up the delivery of their
// remaining entries. So creating a room never depends on the closed ones.

// A closedRooms lists the closed rooms in the order in which they were closed. It is guarded by
// Service.mu.
type closedRooms struct {
	list []*room
	of   map[sip.AoR]int // by creator
}

// retire adds a room that has just been closed. The caller holds s.mu.
func (s *Service) retire(r *room) {
	c := &s.closed
	if c.of == nil {
		c.of = make(map[sip.AoR]int)
	}
	c.list = append(c.list, r)
	c.of[r.Creator]++
	limit := s.config().MaxRooms
	if limit <= 0 {
		return
	}
	if !r.Creator.IsZero() && c.of[r.Creator] > roomShare(limit) {
		c.giveUp(r.Creator)
	}
	if len(c.list) > limit {
		c.giveUp(c.most())
	}
}

// most returns the creator of most closed rooms. Those of operators come last.
func (c *closedRooms) most() (creator sip.AoR) {
	for u, n := range c.of {
		if !u.IsZero() && (creator.IsZero() || n > c.of[creator]) {
			creator = u
		}
	}
	return creator
}

// giveUp ends the delivery of the entries of the oldest closed room of a creator.
func (c *closedRooms) giveUp(creator sip.AoR) {
	for _, r := range c.list {
		if r.Creator == creator {
			r.givenUp.Store(true)
			c.remove(r)
			return
		}
	}
}

// remove removes a room.
func (c *closedRooms) remove(r *room) {
	i := slices.Index(c.list, r)
	if i < 0 {
		return
	}
	c.list = slices.Delete(c.list, i, i+1)
	if c.of[r.Creator]--; c.of[r.Creator] <= 0 {
		delete(c.of, r.Creator)
	}
}

// loadClosed lists the closed rooms in the order in which they were closed. The caller is Load.
func (s *Service) loadClosed() {
	var closed []*room
	for _, r := range s.rooms {
		if r.Closed && r.copy == nil {
			closed = append(closed, r)
		}
	}
	slices.SortFunc(closed, func(a, b *room) int { return cmp.Compare(a.last, b.last) })
	for _, r := range closed {
		s.retire(r)
	}
}
