package imc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"silod/sip"
)

// A user with an alias in Kamailio's table dbaliases may send from several addresses, each of
// which can be a member of its own. A sanction of one of them is one of the account, too, and of
// those that are known in the room. It hits the others because the account is looked up in
// each request (Request.Account).

// findAddresses looks up the other addresses of the user that a sanction is about. No lock is held.
func (s *Service) findAddresses(ctx context.Context, c *invocation) (err error) {
	if s.addresses == nil {
		return nil
	}
	if c.accounts, c.aliases, err = s.addresses(ctx, c.user); err != nil {
		return fmt.Errorf("look up aliases of %s: %w", c.user, err)
	}
	return nil
}

// findTarget makes a sanction one about the member that it names by a nickname or in another case.
// It returns errRetry if the other addresses of this member must be looked up.
func (s *Service) findTarget(c *invocation, r *room) error {
	m := r.named(c)
	if m == nil || m.User == c.user {
		return nil
	}
	c.user, c.word = m.User, ""
	if s.addresses == nil {
		return nil
	}
	return errRetry
}

// otherAddresses returns the other addresses of the user that a command is about: accounts, the
// aliases that the room knows, and those that differ in case only.
func (c *invocation) otherAddresses(r *room) []sip.AoR {
	var list []sip.AoR
	for i, a := range slices.Concat(c.accounts, c.aliases) {
		if a != c.user && !slices.Contains(list, a) && (i < len(c.accounts) || r.find(a) != nil) {
			list = append(list, a)
		}
	}
	for _, m := range r.members {
		if m.User != c.user && m.Role != Owner && m.Role != Admin && isLike(m.User, c.user) {
			list = append(list, m.User)
		}
	}
	return list
}

// isLike reports whether two addresses differ in the case of the user part at most.
func isLike(a, b sip.AoR) bool { return a.Domain == b.Domain && strings.EqualFold(a.User, b.User) }

// findSanctioned makes a command that lifts a sanction one about another address of the user, if
// the named one has no such sanction and the other one has.
func (s *Service) findSanctioned(c *invocation, r *room, has func(*member) bool) {
	if m := r.memberLike(c.user); m != nil && has(m) {
		return
	}
	for _, a := range c.otherAddresses(r) {
		if m := r.find(a); m != nil && has(m) {
			c.user = a
			return
		}
	}
}

// checkTarget returns a refusal if a command cannot be about a member: the owner, or an admin
// unless the caller is the owner or that same admin.
func (s *Service) checkTarget(c *invocation, r *room, m *member, name string) error {
	switch {
	case m.Role == Owner:
		return refuse("owner_stays", "user", name).in(r.name)
	case m.Role == Admin && m.User != c.by.user && !s.isOwner(c.by, r):
		return refuse("peer", "user", name).in(r.name)
	}
	return nil
}

// addOthers adds to the change of a sanction the same change of the user's other addresses. edit
// changes a row, or returns false where nothing changes. A new row begins as that of a former
// member.
func (s *Service) addOthers(c *invocation, r *room, change *Change, edit func(*Member) bool) error {
	for _, a := range c.otherAddresses(r) {
		next, m := s.newMember(r, a, Former, sip.AoR{}), r.find(a)
		if m != nil {
			if err := s.checkTarget(c, r, m, displayName(a, r.name)); err != nil {
				return err
			}
			next = r.memberCopy(m)
		}
		switch {
		case !edit(&next):
		case !next.isOutside() || next.isSanctioned():
			change.Put = append(change.Put, next)
		case m != nil:
			change.Remove = append(change.Remove, a)
		}
	}
	return nil
}
