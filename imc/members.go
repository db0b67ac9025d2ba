package imc

import (
	"context"
	"errors"

	"silod/sip"
)

// invite invites a user; a second #invite sends the invitation again after a while. The caller is
// notified that it has been sent, and again if sending fails.
func (s *Service) invite(ctx context.Context, c *invocation, r *room) error {
	m, name := r.known(c.user), displayName(c.user, r.name)
	switch {
	case m.joined():
		s.notifyCaller(c, r, "already_there", "user", name)
		return nil
	case m != nil && m.Role == Banned:
		return refuse("they_banned", "user", name).in(r.name)
	}
	if err := s.checkUser(r, c.user); err != nil {
		return err
	}
	var refused *refusal
	err := s.checkConsent(ctx, c, r, false)
	switch {
	case errors.As(err, &refused) && refused.text == "was_invited" && r.isInvited(c.user):
		s.notifyCaller(c, r, "still_invited", "user", name)
		return nil
	case errors.As(err, &refused) && refused.text == "was_invited" && s.consent.wasWithdrawn(userRoom{c.user, r.name}, s.now()):
		if err := s.putInvitation(ctx, c, r); err != nil {
			return err
		}
		s.notifyCaller(c, r, "invited", "user", name)
		return nil
	case err != nil:
		return err
	}
	if !m.isInvited() || m.InvitedBy != c.by.user {
		if err := s.putInvitation(ctx, c, r); err != nil {
			s.consent.invitations.Forget(userRoom{c.user, r.name})
			return err
		}
	}
	s.notifyCaller(c, r, "invited", "user", name)
	text := s.text("invitation", r.name, "by", s.actorName(c.by, r), "title", s.titleOf(r))
	invitation := s.newDirect(r.name, c.user, c.by.callID, text)
	invitation.failed = func(c *invocation) { s.notifyCaller(c, r, "invite_failed", "user", name) }
	s.sendDirect(c, invitation)
	return nil
}

// putInvitation stores the invitation of a user by the caller.
func (s *Service) putInvitation(ctx context.Context, c *invocation, r *room) error {
	return s.commit(ctx, r, Change{Room: r.Room, Put: []Member{s.newMember(r, c.user, Invited, c.by.user)}})
}

// accept accepts an invitation. Unlike #join it is refused without one.
func (s *Service) accept(ctx context.Context, c *invocation, r *room) error {
	switch m := r.find(c.user); {
	case m.joined():
		return s.confirm(ctx, c, r)
	case m == nil || m.Role != Invited:
		return refuse("not_invited").in(r.name)
	}
	return s.join(ctx, c, r)
}

// deny declines an invitation. It notifies the inviter, or the owner if the inviter is
// unknown, as in rows of other programs.
func (s *Service) deny(ctx context.Context, c *invocation, r *room) error {
	m := r.find(c.user)
	if m == nil || m.Role != Invited {
		return refuse("not_invited").in(r.name)
	}
	change := Change{Room: r.Room}
	r.depart(&change, m)
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.consent.declined(userRoom{c.user, r.name}, s.now())
	inviter := m.InvitedBy
	if o := r.owner(); inviter.IsZero() && o != nil {
		inviter = o.User
	}
	if !inviter.IsZero() {
		s.notifyOther(c, inviter, r.name, s.text("declined", r.name, "user", displayName(c.user, r.name)))
	}
	s.notifyCaller(c, r, "you_declined")
	return nil
}

// memberLike returns the member with an address. If there is none, the case of the user
// part is ignored, unless that fits several members.
func (r *room) memberLike(u sip.AoR) (found *member) {
	if m := r.find(u); m != nil {
		return m
	}
	for _, m := range r.members {
		if isLike(m.User, u) {
			if found != nil {
				return nil
			}
			found = m
		}
	}
	return found
}

// named returns the member that a command names, as memberLike does or else by its nickname.
func (r *room) named(c *invocation) *member {
	if m := r.memberLike(c.user); m != nil {
		return m
	}
	return r.nicked(c.word)
}

// target finds the member that a command is about, and returns it with its display name. A command
// cannot be about the owner, and not about an admin unless the caller is the owner or that same
// admin: then target returns the member and a refusal.
func (s *Service) target(c *invocation, r *room) (m *member, name string, err error) {
	if m = r.named(c); m == nil {
		name = displayName(c.user, r.name)
		return nil, name, refuse("no_such_member", "user", clip(name)).in(r.name)
	}
	c.user = m.User
	name = displayName(m.User, r.name)
	return m, name, s.checkTarget(c, r, m, name)
}

// isOwner reports whether an actor has the rights of the owner.
func (s *Service) isOwner(a actor, r *room) bool {
	return a.operator || r.find(a.user) != nil && r.find(a.user).Role == Owner
}

// remove removes a member or withdraws an invitation. The removed user gets a direct
// message, because the notice goes to the remaining members only.
func (s *Service) remove(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	switch {
	case err != nil:
		return err
	case m.isOutside():
		return refuse("no_such_member", "user", name).in(r.name)
	}
	change := Change{Room: r.Room}
	r.depart(&change, m)
	if m.isInvited() {
		if err := s.commit(ctx, r, change); err != nil {
			return err
		}
		s.consent.withdrawn.Take(userRoom{m.User, r.name}, invitationRate, s.now())
		s.notifyCaller(c, r, "withdrawn", "user", name)
		return nil
	}
	by := s.actorName(c.by, r)
	change.Notice = s.newNotice(c, r, "removed", "user", name, "by", by)
	if err = s.commit(ctx, r, change); err == nil {
		s.notifyUser(c, m.User, r.name, s.text("you_are_out", r.name, "by", by))
	}
	return err
}

// modify changes the role of a member. A new owner replaces the old one, which becomes
// an admin, in the same transaction.
func (s *Service) modify(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	switch {
	case m == nil:
		return err
	case !m.joined():
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Role == c.role:
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	case err != nil:
		return err
	case c.role == Owner && !s.isOwner(c.by, r):
		return refuse("owner_only").in(r.name)
	case c.role == Owner && m.isAdded(r) && !c.by.operator:
		return refuse("not_confirmed", "user", name).in(r.name)
	}
	next := r.memberCopy(m)
	next.Role = c.role
	put := []Member{next}
	if c.role == Owner {
		put[0].liftMute()
		if o := r.owner(); o != nil {
			old := r.memberCopy(o)
			old.Role = Admin
			put = append(put, old)
		}
	}
	return s.commit(ctx, r, Change{
		Room: r.Room, Put: put,
		Notice: s.newNotice(c, r, "role_changed", "user", name, "role", c.role.String(), "by", s.actorName(c.by, r)),
	})
}
