package imc

import (
	"context"
	"strings"

	"silod/sip"
)

// invite invites a user; a second #invite sends the invitation again. The caller is
// notified that it has been sent, and again if sending fails.
func (s *Service) invite(ctx context.Context, c *invocation, r *room) error {
	m, name := r.index[c.user], displayName(c.user, r.name)
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
	if m == nil || m.InvitedBy != c.by.user {
		invited := s.newMember(r, c.user, Invited, c.by.user)
		if err := s.commit(ctx, r, Change{Room: r.Room, Put: []Member{invited}}); err != nil {
			return err
		}
	}
	s.notifyCaller(c, r, "invited", "user", name)
	invitation := s.newDirect(r.name, c.user, c.by.callID, s.text("invitation", r.name, "by", s.actorName(c.by, r)))
	invitation.failed = func(c *invocation) { s.notifyCaller(c, r, "invite_failed", "user", name) }
	s.sendDirect(c, invitation)
	return nil
}

// accept accepts an invitation. Unlike #join it is refused without one.
func (s *Service) accept(ctx context.Context, c *invocation, r *room) error {
	switch m := r.index[c.user]; {
	case m.joined():
		s.notifyCaller(c, r, "already_in")
		return nil
	case m == nil || m.Role != Invited:
		return refuse("not_invited").in(r.name)
	}
	return s.join(ctx, c, r)
}

// deny declines an invitation. It notifies the inviter, or the owner if the inviter is
// unknown, as in rows of other programs.
func (s *Service) deny(ctx context.Context, c *invocation, r *room) error {
	m := r.index[c.user]
	if m == nil || m.Role != Invited {
		return refuse("not_invited").in(r.name)
	}
	if err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{c.user}}); err != nil {
		return err
	}
	inviter := m.InvitedBy
	if o := r.owner(); inviter.IsZero() && o != nil {
		inviter = o.User
	}
	if !inviter.IsZero() {
		s.notifyUser(c, inviter, r.name, s.text("declined", r.name, "user", displayName(c.user, r.name)))
	}
	s.notifyCaller(c, r, "you_declined")
	return nil
}

// memberLike returns the member with an address. If there is none, the case of the user
// part is ignored, unless that fits several members.
func (r *room) memberLike(u sip.AoR) (found *member) {
	if m := r.index[u]; m != nil {
		return m
	}
	for _, m := range r.members {
		if m.User.Domain == u.Domain && strings.EqualFold(m.User.User, u.User) {
			if found != nil {
				return nil
			}
			found = m
		}
	}
	return found
}

// target finds the member that a command is about, as memberLike does, and returns it
// with its display name. A command cannot be about the owner, and not about an admin
// unless the caller is the owner or that same admin: then target returns the member and
// a refusal.
func (s *Service) target(c *invocation, r *room) (m *member, name string, err error) {
	if m = r.memberLike(c.user); m == nil {
		name = displayName(c.user, r.name)
		return nil, name, refuse("no_such_member", "user", clip(name)).in(r.name)
	}
	c.user = m.User
	name = displayName(m.User, r.name)
	switch {
	case m.Role == Owner:
		return m, name, refuse("owner_stays", "user", name).in(r.name)
	case m.Role == Admin && m.User != c.by.user && !s.isOwner(c.by, r):
		return m, name, refuse("peer", "user", name).in(r.name)
	}
	return m, name, nil
}

// isOwner reports whether an actor has the rights of the owner.
func (s *Service) isOwner(a actor, r *room) bool {
	return a.operator || r.index[a.user] != nil && r.index[a.user].Role == Owner
}

// remove removes a member or withdraws an invitation. The removed user gets a direct
// message, because the notice goes to the remaining members only.
func (s *Service) remove(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	switch {
	case err != nil:
		return err
	case m.Role == Banned:
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Role == Invited:
		err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{m.User}})
		if err == nil {
			s.notifyCaller(c, r, "withdrawn", "user", name)
		}
		return err
	}
	by := s.actorName(c.by, r)
	err = s.commit(ctx, r, Change{
		Room:   r.Room,
		Remove: []sip.AoR{m.User},
		Notice: s.newNotice(c, r, "removed", "user", name, "by", by),
	})
	if err == nil {
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
	}
	next := r.memberCopy(m)
	next.Role = c.role
	put := []Member{next}
	if c.role == Owner {
		put[0].Muted = false
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

// ban removes a member and prevents a return, or prevents a user from joining. In the
// second case only the caller is notified, because nothing changes for the members.
func (s *Service) ban(ctx context.Context, c *invocation, r *room) error {
	m, name, err := s.target(c, r)
	if m != nil && err != nil {
		return err
	}
	banned := s.newMember(r, c.user, Banned, c.by.user)
	change := Change{Room: r.Room, Put: []Member{banned}}
	switch {
	case m == nil:
		if err := s.checkUser(r, c.user); err != nil {
			return err
		}
	case m.Role == Banned:
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	case m.joined():
		by := s.actorName(c.by, r)
		change.Notice = s.newNotice(c, r, "banned", "user", name, "by", by)
		if err := s.commit(ctx, r, change); err != nil {
			return err
		}
		s.notifyUser(c, c.user, r.name, s.text("you_are_banned", r.name, "by", by))
		return nil
	}
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.notifyCaller(c, r, "ban_set", "user", name)
	return nil
}

// unban lifts a ban.
func (s *Service) unban(ctx context.Context, c *invocation, r *room) error {
	m, name, _ := s.target(c, r)
	if m == nil || m.Role != Banned {
		return refuse("not_banned", "user", clip(name)).in(r.name)
	}
	if err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{m.User}}); err != nil {
		return err
	}
	s.notifyCaller(c, r, "ban_lifted", "user", name)
	return nil
}

func (s *Service) mute(ctx context.Context, c *invocation, r *room) error {
	return s.setMuted(ctx, c, r, true, "muted")
}

func (s *Service) unmute(ctx context.Context, c *invocation, r *room) error {
	return s.setMuted(ctx, c, r, false, "unmuted")
}

// setMuted mutes or unmutes a member; key is the notice to the members.
func (s *Service) setMuted(ctx context.Context, c *invocation, r *room, muted bool, key textKey) error {
	m, name, err := s.target(c, r)
	switch {
	case err != nil:
		return err
	case !m.joined():
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Muted == muted:
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	next := r.memberCopy(m)
	next.Muted = muted
	return s.commit(ctx, r, Change{
		Room: r.Room, Put: []Member{next},
		Notice: s.newNotice(c, r, key, "user", name, "by", s.actorName(c.by, r)),
	})
}
