package imc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"silod/sip"
)

// An account that is removed leaves no place in a room: a new account of the same name is another
// user. Only bans stay, because they are of a name.

// Users calls f for each user that is a member of a room or invited to one, and says whether only
// operators have made it one, who may name a user that will get an account. The user of a closed room
// counts while it waits for entries.
func (s *Service) Users(f func(u sip.AoR, placed bool)) {
	s.mu.RLock()
	users := make(map[sip.AoR]bool, len(s.users)+len(s.invited))
	for u, x := range s.users {
		if x.seats > 0 || x.waits(u) {
			users[u] = x.seats <= 0 && x.isPlaced(u)
		}
	}
	for u := range s.invited {
		users[u] = false
	}
	s.mu.RUnlock()
	for u, placed := range users {
		f(u, placed)
	}
}

// isPlaced reports whether only operators have made a user a member of rooms. The caller holds
// Service.mu.
func (x *user) isPlaced(u sip.AoR) bool {
	for _, r := range x.rooms {
		r.mu.Lock()
		m := r.find(u)
		placed := !m.joined() || m.AddedBy == r.name
		r.mu.Unlock()
		if !placed {
			return false
		}
	}
	return true
}

// HasUser reports whether Users would call its function for a user.
func (s *Service) HasUser(u sip.AoR) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := s.users[u]
	return x != nil && (x.seats > 0 || x.waits(u)) || s.invited[u] != nil
}

// waits reports whether a user is a member of a room that exists, or waits for entries of a closed
// one. The caller holds Service.mu.
func (x *user) waits(u sip.AoR) bool {
	for _, r := range x.rooms {
		r.mu.Lock()
		m := r.find(u)
		waits := m.joined() && (r.exists() || m.Cursor < r.last)
		r.mu.Unlock()
		if waits {
			return true
		}
	}
	return false
}

// removalMark returns the mark of a user whose removal has begun, which is stored like a block.
func removalMark(u sip.AoR) sip.AoR { return leftMark(sip.AoR{Domain: u.Domain}) }

// NoteRemoval notes in the Store that the removal of an account has begun, or that it is complete:
// another process continues one that has begun.
func (s *Service) NoteRemoval(ctx context.Context, u sip.AoR, begun bool) error {
	return s.setBlock(ctx, u, removalMark(u), begun)
}

// Removals returns the users whose removal has begun.
func (s *Service) Removals() (users []sip.AoR) {
	s.blocks.mu.RLock()
	defer s.blocks.mu.RUnlock()
	for u, blocks := range s.blocks.byUser {
		if blocks[removalMark(u)] {
			users = append(users, u)
		}
	}
	return users
}

// unasked is the call of a change that no request has caused.
var unasked = &invocation{by: actor{operator: true}}

// errMoving is the error for a closed room of which a part has another name.
var errMoving = fmt.Errorf("%w: a closed room is moving aside", ErrBusy)

// RemoveAccount removes a user whose account was removed from all rooms. Of a room that it owns, a
// successor becomes the owner, and without one the room is closed. After an error the caller calls
// it again: rooms that are done are passed over.
func (s *Service) RemoveAccount(ctx context.Context, u sip.AoR) error {
	var failed error
	rooms := 0
	for _, r := range s.allRooms() {
		if !r.mentions(u) {
			continue
		}
		changed, err := s.removeAccountFrom(ctx, r, u)
		if err != nil {
			s.stats.StoreErrors.Add(1)
			failed = errors.Join(failed, err)
			if ctx.Err() != nil || errors.Is(err, ErrBusy) && !errors.Is(err, errMoving) {
				break
			}
		}
		if changed {
			rooms++
		}
	}
	if rooms > 0 {
		s.log.Info("user without account removed from rooms", slog.String("user", u.String()), slog.Int("rooms", rooms))
	}
	failed = errors.Join(failed, s.ForgetBlocks(ctx, u))
	if failed != nil {
		return fmt.Errorf("remove %s from rooms: %w", u, failed)
	}
	return nil
}

// mentions reports whether a user has a row in the room, has created it or has invited to it.
func (r *room) mentions(u sip.AoR) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(u) != nil || r.Creator == u || slices.ContainsFunc(r.members, func(m *member) bool { return m.isFrom(u) })
}

// isFrom reports whether a user has invited or added a member.
func (m *member) isFrom(u sip.AoR) bool {
	return m.Role == Invited && m.InvitedBy == u || m.AddedBy == u
}

// forgetInviter makes the owner the one that is notified of answers to the invitations of a user. The
// members that it has added count for no user, as those that an operator has added; but those of other
// domains get messages only if they could use rooms of their own accord. The changes are steps of a
// limited size. The caller holds r.stateMu exclusively.
func (s *Service) forgetInviter(ctx context.Context, r *room, u sip.AoR) error {
	var put []Member
	for _, m := range r.members {
		if !m.isFrom(u) {
			continue
		}
		next := r.memberCopy(m)
		if next.AddedBy == u {
			next.AddedBy = sip.AoR{}
			if s.domains.Has(m.User.Domain) {
				next.AddedBy = r.name
			}
		}
		if next.Role == Invited {
			next.InvitedBy = sip.AoR{}
		}
		put = append(put, next)
	}
	for some := range slices.Chunk(put, purgeBatch) {
		if err := s.commit(ctx, r, Change{Room: r.Room, Put: some}); err != nil {
			return err
		}
	}
	return nil
}

// removeAccountFrom removes a user from one room, and reports whether that has changed it.
func (s *Service) removeAccountFrom(ctx context.Context, r *room, u sip.AoR) (changed bool, err error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	switch m := r.find(u); {
	case r.removed:
		return false, nil
	case r.copied != nil || len(r.uncopied) > 0:
		return false, errMoving
	case r.Closed && m.joined():
		return true, s.skipRest(ctx, r, m)
	case r.Closed:
		return false, nil
	}
	if err := s.forgetInviter(ctx, r, u); err != nil {
		return false, err
	}
	c, changed := s.withoutAccount(r, u)
	if !changed {
		return false, nil
	}
	if err := s.commit(ctx, r, c); err != nil || !c.Room.Closed {
		return err == nil, err
	}
	return true, s.skipRest(ctx, r, r.find(u))
}

// withoutAccount returns the change that removes a user from a room, and whether there is one.
func (s *Service) withoutAccount(r *room, u sip.AoR) (c Change, changed bool) {
	m, name := r.find(u), displayName(u, r.name)
	c.Room = r.Room
	if c.Room.Creator == u {
		c.Room.Creator, changed = sip.AoR{}, true
	}
	switch {
	case m == nil || m.Role == Banned:
		return c, changed
	case !m.joined():
		c.Remove = []sip.AoR{u}
		return c, true
	case m.Role != Owner:
		c.Remove, c.Notice = []sip.AoR{u}, s.newNotice(unasked, r, "account_gone", "user", name)
		return c, true
	}
	heir := r.successor(u)
	if heir == nil {
		c.Room.Closed, c.Notice = true, s.newNotice(unasked, r, "orphaned", "user", name)
		return c, true
	}
	next := r.memberCopy(heir)
	next.Role, next.Muted, next.MutedUntil, next.Reason = Owner, false, time.Time{}, ""
	c.Put, c.Remove = []Member{next}, []sip.AoR{u}
	c.Notice = s.newNotice(unasked, r, "succeeded", "user", name, "owner", displayName(heir.User, r.name))
	return c, true
}

// successor returns the member that becomes the owner after a user: the oldest admin, else the
// oldest member, and before members that others have added those that joined. It is nil if the
// user is the only member.
func (r *room) successor(u sip.AoR) (heir *member) {
	for _, m := range r.members { // in the order in which they were added
		if m.joined() && m.User != u && (heir == nil || m.claim() > heir.claim()) {
			heir = m
		}
	}
	return heir
}

// claim is higher for a member that precedes others as the successor of the owner. Of equal members
// a muted one comes last.
func (m *member) claim() (n int) {
	switch {
	case m.Role == Admin:
		n = 4
	case m.AddedBy.IsZero():
		n = 2
	}
	if !m.Muted {
		n++
	}
	return n
}

// skipRest makes a member of a closed room get no more of its entries. The caller holds r.stateMu
// exclusively.
func (s *Service) skipRest(ctx context.Context, r *room, m *member) error {
	r.mu.Lock()
	m.Cursor = max(m.Cursor, r.last)
	r.mu.Unlock()
	return s.saveCursors(ctx, []cursorRef{{r, m}})
}
