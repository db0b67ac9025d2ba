package imc

import (
	"context"
	"fmt"
	"slices"

	"silod/sip"
)

// A Policy says to which users rooms may send messages. It may wait for a database.
type Policy interface {
	// Exists reports whether an address of this server is a user.
	Exists(ctx context.Context, user sip.AoR) (bool, error)

	// Relays reports whether some senders may send to other domains at present, and Strangers
	// whether users of other domains may use rooms of their own accord.
	Relays() bool
	Strangers() bool
}

// mayReach checks that the caller of a command may have messages sent to another user: a
// room must not send to addresses to which the caller could not write otherwise. An operator may
// name any address.
func (s *Service) mayReach(ctx context.Context, c *invocation, r *room) error {
	switch name := displayName(c.user, r.name); {
	case s.policy == nil || c.by.operator || c.user == c.by.user:
		return nil
	case !s.domains.Has(c.user.Domain):
		if !c.by.mayRelay {
			return refuse("no_relay", "user", clip(name)).in(r.name)
		}
		return nil
	default:
		exists, err := s.policy.Exists(ctx, c.user)
		switch {
		case err != nil:
			return fmt.Errorf("look up user: %w: %w", ErrBusy, err)
		case !exists:
			return refuse("unknown_user", "user", clip(name)).in(r.name)
		}
		return nil
	}
}

// gets reports whether a member may get the messages of a room at present. A user of this server
// may. One of another domain may if it has joined itself and users of other domains may use rooms,
// if an operator has added it, or if the user that has added it exists and could do so again.
func (s *Service) gets(ctx context.Context, r *room, user sip.AoR) (bool, error) {
	if !s.isOutside(user) {
		return true, nil
	}
	r.mu.Lock()
	m, by := r.find(user), sip.AoR{}
	if m != nil {
		by = m.AddedBy
	}
	r.mu.Unlock()
	switch {
	case by == r.name:
		return true, nil
	case by.IsZero():
		return s.policy.Strangers(), nil
	case !s.policy.Relays():
		return false, nil
	case !s.domains.Has(by.Domain):
		return true, nil
	}
	exists, err := s.policy.Exists(ctx, by)
	if err != nil {
		return false, fmt.Errorf("look up user: %w", err)
	}
	return exists, nil
}

// isOutside reports whether messages to a user leave the domains of this server.
func (s *Service) isOutside(user sip.AoR) bool {
	return s.policy != nil && user.Domain != s.domains.Default() && !s.domains.Has(user.Domain)
}

// knowsOutside reports whether a user of another domain is a member of a room, or invited, and rooms
// may send to it.
func (s *Service) knowsOutside(user sip.AoR) bool {
	s.mu.RLock()
	known := s.users[user] != nil || len(s.invited[user]) > 0
	s.mu.RUnlock()
	return known && s.mayNotify(user)
}

// mayNotify reports whether rooms may send direct messages to a user at present.
func (s *Service) mayNotify(user sip.AoR) bool {
	if !s.isOutside(user) || s.policy.Relays() || s.policy.Strangers() {
		return true
	}
	return slices.ContainsFunc(s.roomsOf(user), func(r *room) bool { // an operator has added it
		r.mu.Lock()
		defer r.mu.Unlock()
		m := r.find(user)
		return m.joined() && m.AddedBy == r.name
	})
}
