package imc

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/sip"
)

// A room that was destroyed is closed: it does not exist for users, but stays in the
// store until all members have its remaining entries. Its name may be given to a new
// room meanwhile.

// asidePrefix begins the user part under which a closed room is stored after its name
// has been given to another room; the Seq of its last entry follows.
const asidePrefix = "~"

// isAside reports whether an AoR can be that of a room that was moved aside.
func isAside(a sip.AoR) bool { return strings.HasPrefix(a.User, asidePrefix) }

// close destroys a room; last is its last entry, which all members get, the owner
// included.
func (s *Service) close(ctx context.Context, r *room, last *Entry) error {
	closed := r.Room
	closed.Closed = true
	return s.commit(ctx, r, Change{Room: closed, Notice: last})
}

// moveAside makes the name of a closed room available. The closed room is stored
// under an AoR that no other room can have, with its name in the topic, which it
// needs no longer. The caller holds r.stateMu exclusively.
func (s *Service) moveAside(ctx context.Context, r *room) error {
	next := r.Room
	next.AoR = sip.AoR{User: asidePrefix + strconv.FormatInt(r.last, 36), Domain: r.name.Domain}
	next.Topic = r.name.User
	c := Change{Room: next, Was: r.AoR}
	c.Undo = r.undoOf(&c)
	if err := s.store.Apply(ctx, c); err != nil {
		return fmt.Errorf("move closed room %s: %w", r.name, err)
	}
	s.mu.Lock()
	delete(s.rooms, r.AoR)
	s.rooms[next.AoR] = r
	s.mu.Unlock()
	r.mu.Lock()
	r.Room = next
	r.mu.Unlock()
	return nil
}

// publicName returns the name under which users know a stored room.
func publicName(stored Room) sip.AoR {
	if stored.Closed && isAside(stored.AoR) && stored.Topic != "" {
		return sip.AoR{User: stored.Topic, Domain: stored.AoR.Domain}
	}
	return stored.AoR
}

// purgeClosed deletes a closed room when no member waits for its entries any more:
// all have them, or the entries are older than CatchUp.
func (s *Service) purgeClosed(ctx context.Context, r *room) error {
	r.mu.Lock()
	waiting := s.now().Sub(r.lastAt) < s.config().CatchUp &&
		slices.ContainsFunc(r.members, func(m *member) bool { return m.joined() && m.Cursor < r.last })
	closed := r.stored && r.Closed
	r.mu.Unlock()
	if !closed || waiting {
		return nil
	}
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if r.removed || !r.Closed {
		return nil
	}
	return s.deleteClosed(ctx, r)
}

// deleteClosed deletes a closed room from the store and from memory. The caller
// holds r.stateMu exclusively.
func (s *Service) deleteClosed(ctx context.Context, r *room) error {
	sctx, cancel := storeContext(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, Change{Room: r.Room, Delete: true}); err != nil {
		return fmt.Errorf("delete room %s: %w", r.name, err)
	}
	var users []sip.AoR
	for _, m := range r.members {
		if m.joined() {
			users = append(users, m.User)
		}
	}
	s.removeMemberships(r, users)
	r.mu.Lock()
	before := r.tailSize
	r.trim(time.Time{}, 0)
	s.tailBytes.Add(int64(r.tailSize - before))
	r.mu.Unlock()
	s.removeRoom(r)
	return nil
}
