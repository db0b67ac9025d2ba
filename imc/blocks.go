package imc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"silod/sip"
)

// A user can block a room or another user: see #block. Blocks are kept for the account, so that
// they outlive restarts and rooms.

// Limits of blocks and of marks of rooms that were left.
const (
	maxBlocks    = 100       // of a user
	maxLeft      = 100       // of a user; a further one replaces another
	maxAllBlocks = 1_000_000 // of all users
)

// blockSet holds the blocks of all users. The Store has the same.
type blockSet struct {
	mu     sync.RWMutex
	byUser map[sip.AoR]map[sip.AoR]bool
	total  int
}

// has reports whether a user blocks a room or another user.
func (b *blockSet) has(user, target sip.AoR) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.byUser[user][target]
}

// of returns what a user blocks, in order.
func (b *blockSet) of(user sip.AoR) []sip.AoR {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]sip.AoR, 0, len(b.byUser[user]))
	for t := range b.byUser[user] {
		if !isLeftMark(t) {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, compareNames)
	return list
}

// left returns the marks of rooms that a user has left.
func (b *blockSet) left(user sip.AoR) []sip.AoR {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []sip.AoR
	for t := range b.byUser[user] {
		if isLeftMark(t) && t != removalMark(user) {
			list = append(list, t)
		}
	}
	return list
}

// set adds or removes a block.
func (b *blockSet) set(user, target sip.AoR, on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byUser[user][target] == on {
		return
	}
	if !on {
		b.total--
		if delete(b.byUser[user], target); len(b.byUser[user]) == 0 {
			delete(b.byUser, user)
		}
		return
	}
	if b.byUser == nil {
		b.byUser = make(map[sip.AoR]map[sip.AoR]bool)
	}
	if b.byUser[user] == nil {
		b.byUser[user] = make(map[sip.AoR]bool)
	}
	b.byUser[user][target] = true
	b.total++
}

// full reports whether there are as many blocks as there may be.
func (b *blockSet) full() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.total >= maxAllBlocks
}

// leftPrefix begins the user part of a mark: no address has it, because a canonical user part
// escapes it.
const leftPrefix = "<"

// leftMark returns the mark of a user that has left a room, which is stored like a block. The user
// is not added to the room again before it joins or accepts an invitation.
func leftMark(room sip.AoR) sip.AoR {
	return sip.AoR{User: leftPrefix + room.User, Domain: room.Domain}
}

func isLeftMark(a sip.AoR) bool { return strings.HasPrefix(a.User, leftPrefix) }

// setBlock stores a block or a mark, or its end.
func (s *Service) setBlock(ctx context.Context, user, target sip.AoR, on bool) error {
	if s.blocks.has(user, target) == on {
		return nil
	}
	if err := s.store.SetBlock(ctx, user, target, on); err != nil {
		return fmt.Errorf("block %s: %w", target, err)
	}
	s.blocks.set(user, target, on)
	return nil
}

// markLeft notes that a user has left a room. An error is logged only: the user has left.
func (s *Service) markLeft(ctx context.Context, user, room sip.AoR) {
	left := s.blocks.left(user)
	if s.blocks.full() && len(left) == 0 {
		return
	}
	var err error
	if len(left) >= maxLeft {
		err = s.setBlock(ctx, user, left[0], false)
	}
	if err == nil {
		err = s.setBlock(ctx, user, leftMark(room), true)
	}
	s.logMark(err, user, room)
}

// unmarkLeft notes that a user is in a room of its own accord. An error is logged only: the user
// is in the room.
func (s *Service) unmarkLeft(ctx context.Context, user, room sip.AoR) {
	s.logMark(s.setBlock(ctx, user, leftMark(room), false), user, room)
}

// logMark logs an error of a mark.
func (s *Service) logMark(err error, user, room sip.AoR) {
	if err != nil {
		s.stats.StoreErrors.Add(1)
		s.log.Error("leaving a room not noted", slog.String("room", room.String()), slog.String("user", user.String()),
			slog.Any("error", err))
	}
}

// ForgetBlocks deletes the blocks of a user whose account was removed: another account of the name
// does not inherit them.
func (s *Service) ForgetBlocks(ctx context.Context, user sip.AoR) error {
	for _, t := range append(s.blocks.of(user), s.blocks.left(user)...) {
		if err := s.setBlock(ctx, user, t, false); err != nil {
			return err
		}
	}
	return nil
}

// block blocks a room or a user. A member of the room leaves it, and invitations end.
func (s *Service) block(ctx context.Context, c *invocation, _ *room) error {
	target, isRoom, err := s.blockTarget(c)
	if err != nil {
		return err
	}
	name := displayName(target, c.to)
	switch {
	case target == c.by.user:
		return refuse("not_self").in(c.to)
	case c.by.unproven:
		return refuse("not_user").in(c.to)
	case s.blocks.has(c.by.user, target):
	case len(s.blocks.of(c.by.user)) >= maxBlocks || s.blocks.full():
		return refuse("too_many_blocks", "limit", itoa(maxBlocks)).in(c.to)
	case isRoom:
		if err := s.leaveBlocked(ctx, c, target); err != nil {
			return err
		}
	}
	if err := s.setBlock(ctx, c.by.user, target, true); err != nil {
		return err
	}
	key := textKey("blocked_user")
	if isRoom {
		key = "blocked_room"
	} else if err := s.dropInvitations(ctx, c, target); err != nil {
		return err
	}
	s.notifyUser(c, c.by.user, c.to, s.text(key, c.to, "value", name))
	return nil
}

// unblock ends a block.
func (s *Service) unblock(ctx context.Context, c *invocation, _ *room) error {
	target, _, err := s.blockTarget(c)
	if err != nil {
		return err
	}
	name := displayName(target, c.to)
	if !s.blocks.has(c.by.user, target) {
		return refuse("not_blocked", "value", name).in(c.to)
	}
	if err := s.setBlock(ctx, c.by.user, target, false); err != nil {
		return err
	}
	s.notifyUser(c, c.by.user, c.to, s.text("unblocked", c.to, "value", name))
	return nil
}

// listBlocks lists what the caller blocks.
func (s *Service) listBlocks(_ context.Context, c *invocation, _ *room) error {
	list := s.blocks.of(c.by.user)
	lines := []string{s.text("blocks", c.to, "count", itoa(len(list)))}
	for _, t := range list {
		lines = append(lines, displayName(t, c.to))
	}
	s.notifyUser(c, c.by.user, c.to, strings.Join(lines, "\n"))
	return nil
}

// blockTarget returns the room or user that #block and #unblock name: the room that the command
// was sent to, if none is named.
func (s *Service) blockTarget(c *invocation) (target sip.AoR, isRoom bool, err error) {
	switch {
	case c.named:
		target = c.user
	case s.isManager(c.to):
		return sip.AoR{}, false, refuse("usage", "usage", s.usage(c.command, true))
	default:
		target = c.to
	}
	if s.isManager(target.Lower()) && s.domains.Has(target.Domain) {
		return sip.AoR{}, false, refuse("bad_user", "value", clip(displayName(target, c.to))).in(c.to)
	}
	if s.IsRoom(target) {
		return target.Lower(), true, nil
	}
	if !isName(target.User) || len(target.User) > maxUser || len(target.Domain) > maxDomain {
		return sip.AoR{}, false, refuse("bad_user", "value", clip(displayName(target, c.to))).in(c.to)
	}
	return target, false, nil
}

// leaveBlocked ends the membership of the caller in a room, or the invitation to it. The owner
// must give the room away first.
func (s *Service) leaveBlocked(ctx context.Context, c *invocation, name sip.AoR) error {
	r := s.lockRoom(name, exclusive)
	if r == nil {
		return nil
	}
	defer s.unlockRoom(r, exclusive)
	if err := inTime(ctx); err != nil {
		return err
	}
	m := r.find(c.by.user)
	switch {
	case m.joined() && m.Role == Owner:
		return refuse("owner_keeps").in(r.name)
	case m.joined():
		leave := *c
		leave.user, leave.room = c.by.user, name
		err := s.exit(ctx, &leave, r)
		c.direct = leave.direct
		return err
	case m != nil && m.Role == Invited:
		return s.commitDeparture(ctx, r, m)
	}
	return nil
}

// dropInvitations ends the invitations that the caller has from a user.
func (s *Service) dropInvitations(ctx context.Context, c *invocation, from sip.AoR) error {
	s.mu.RLock()
	rooms := slices.Clone(s.invited[c.by.user])
	s.mu.RUnlock()
	for _, x := range rooms {
		if err := s.dropInvitation(ctx, x.name, c.by.user, from); err != nil {
			return err
		}
	}
	return nil
}

// dropInvitation ends an invitation to a room if it is from a user.
func (s *Service) dropInvitation(ctx context.Context, name, user, from sip.AoR) error {
	r := s.lockRoom(name, exclusive)
	if r == nil {
		return nil
	}
	defer s.unlockRoom(r, exclusive)
	m := r.find(user)
	if m == nil || m.Role != Invited || m.InvitedBy != from {
		return nil
	}
	return s.commitDeparture(ctx, r, m)
}

// commitDeparture ends an invitation, and keeps a mute of its user.
func (s *Service) commitDeparture(ctx context.Context, r *room, m *member) error {
	change := Change{Room: r.Room}
	r.depart(&change, m)
	return s.commit(ctx, r, change)
}
