package imc

import (
	"context"
	"strings"

	"silod/sip"
)

// invite asks a user in. To invite again is to send the invitation again. The inviter
// is told that it has been sent, and told again where it did not arrive.
func (s *Service) invite(ctx context.Context, c *call, r *room) error {
	m, name := r.index[c.user], display(c.user, r.name)
	switch {
	case m.seated():
		s.answer(c, r, "already_there", "user", name)
		return nil
	case m != nil && m.Role == Banned:
		return refuse("they_banned", "user", name).in(r.name)
	}
	if err := s.eligible(r, c.user); err != nil {
		return err
	}
	if m == nil || m.InvitedBy != c.by.user {
		guest := s.newMember(r, c.user, Invited, c.by.user)
		if err := s.commit(ctx, r, Change{Room: r.Room, Put: []Member{guest}}); err != nil {
			return err
		}
	}
	s.answer(c, r, "invited", "user", name)
	room, by, cause := r.name, c.by, c.by.call
	s.send(c.user, letter{
		message: s.letter(room, c.user, cause, s.text("invitation", room, "by", s.name(by, r))),
		failed: func(error) {
			if !by.operator {
				s.tell(by.user, room, cause, s.text("invite_failed", room, "user", name))
			}
		},
	})
	return nil
}

// accept takes an invitation up. It differs from #join only where there is none.
func (s *Service) accept(ctx context.Context, c *call, r *room) error {
	switch m := r.index[c.user]; {
	case m.seated():
		s.answer(c, r, "already_in")
		return nil
	case m == nil || m.Role != Invited:
		return refuse("not_invited").in(r.name)
	}
	return s.join(ctx, c, r)
}

// deny turns an invitation down. Whoever made it is told, or else the owner: rows
// that another program wrote do not say who invited.
func (s *Service) deny(ctx context.Context, c *call, r *room) error {
	m := r.index[c.user]
	if m == nil || m.Role != Invited {
		return refuse("not_invited").in(r.name)
	}
	if err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{c.user}}); err != nil {
		return err
	}
	host := m.InvitedBy
	if o := r.owner(); host.IsZero() && o != nil {
		host = o.User
	}
	if !host.IsZero() {
		s.tell(host, r.name, c.by.call, s.text("declined", r.name, "user", display(c.user, r.name)))
	}
	s.answer(c, r, "you_declined")
	return nil
}

// subject finds the member that a command is about, written as in the room or
// with other capitals, and checks that the caller stands above them: nobody stands
// above the owner, and only the owner above an admin, but for the admin's own self.
// The member is given, where there is one, together with the refusal.
func (s *Service) subject(c *call, r *room) (*member, string, error) {
	m := r.index[c.user]
	for _, x := range r.members {
		if m == nil && x.User.Domain == c.user.Domain && strings.EqualFold(x.User.User, c.user.User) {
			m = x
		}
	}
	if m == nil {
		name := display(c.user, r.name)
		return nil, name, refuse("no_such_member", "user", clip(name)).in(r.name)
	}
	c.user = m.User
	name := display(m.User, r.name)
	switch {
	case m.Role == Owner:
		return m, name, refuse("owner_stays", "user", name).in(r.name)
	case m.Role == Admin && m.User != c.by.user && !s.owns(c.by, r):
		return m, name, refuse("peer", "user", name).in(r.name)
	}
	return m, name, nil
}

// owns tells whether somebody may do what only the owner may.
func (s *Service) owns(a actor, r *room) bool {
	return a.operator || r.index[a.user] != nil && r.index[a.user].Role == Owner
}

// remove takes a member out, or an invitation back. The one removed is told apart
// from the others, being no member any more when the log says so.
func (s *Service) remove(ctx context.Context, c *call, r *room) error {
	m, name, err := s.subject(c, r)
	switch {
	case err != nil:
		return err
	case m.Role == Banned:
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Role == Invited:
		err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{m.User}})
		if err == nil {
			s.answer(c, r, "withdrawn", "user", name)
		}
		return err
	}
	by := s.name(c.by, r)
	err = s.commit(ctx, r, Change{
		Room:   r.Room,
		Remove: []sip.AoR{m.User},
		Notice: s.notice(c, r, "removed", "user", name, "by", by),
	})
	if err == nil {
		s.tell(m.User, r.name, c.by.call, s.text("you_are_out", r.name, "by", by))
	}
	return err
}

// modify gives a member another role. There is one owner at any moment: a new one
// takes the place of the old one, who stays as admin, in the same transaction.
func (s *Service) modify(ctx context.Context, c *call, r *room) error {
	m, name, err := s.subject(c, r)
	switch {
	case m == nil:
		return err
	case !m.seated():
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Role == c.role:
		s.answer(c, r, "nothing_changed")
		return nil
	case err != nil:
		return err
	case c.role == Owner && !s.owns(c.by, r):
		return refuse("owner_only").in(r.name)
	}
	next := r.copied(m)
	next.Role = c.role
	put := []Member{next}
	if c.role == Owner {
		put[0].Muted = false
		if o := r.owner(); o != nil {
			old := r.copied(o)
			old.Role = Admin
			put = append(put, old)
		}
	}
	return s.commit(ctx, r, Change{
		Room: r.Room, Put: put,
		Notice: s.notice(c, r, "role_changed", "user", name, "role", c.role.String(), "by", s.name(c.by, r)),
	})
}

// ban takes a user out of the room, or keeps one out who is not in it. Members are
// told of the first; of the second only the caller, because nothing changes for
// anybody else.
func (s *Service) ban(ctx context.Context, c *call, r *room) error {
	m, name, err := s.subject(c, r)
	if m != nil && err != nil {
		return err
	}
	banned := s.newMember(r, c.user, Banned, c.by.user)
	change := Change{Room: r.Room, Put: []Member{banned}}
	switch {
	case m == nil:
		if err := s.eligible(r, c.user); err != nil {
			return err
		}
	case m.Role == Banned:
		s.answer(c, r, "nothing_changed")
		return nil
	case m.seated():
		by := s.name(c.by, r)
		change.Notice = s.notice(c, r, "banned", "user", name, "by", by)
		if err := s.commit(ctx, r, change); err != nil {
			return err
		}
		s.tell(c.user, r.name, c.by.call, s.text("you_are_banned", r.name, "by", by))
		return nil
	}
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.answer(c, r, "ban_set", "user", name)
	return nil
}

// unban lets a user come again.
func (s *Service) unban(ctx context.Context, c *call, r *room) error {
	m, name, _ := s.subject(c, r)
	if m == nil || m.Role != Banned {
		return refuse("not_banned", "user", clip(name)).in(r.name)
	}
	if err := s.commit(ctx, r, Change{Room: r.Room, Remove: []sip.AoR{m.User}}); err != nil {
		return err
	}
	s.answer(c, r, "ban_lifted", "user", name)
	return nil
}

// mute takes a member's word away, unmute gives it back.
func (s *Service) mute(ctx context.Context, c *call, r *room) error {
	return s.setMuted(ctx, c, r, true, "muted")
}

func (s *Service) unmute(ctx context.Context, c *call, r *room) error {
	return s.setMuted(ctx, c, r, false, "unmuted")
}

func (s *Service) setMuted(ctx context.Context, c *call, r *room, muted bool, key text) error {
	m, name, err := s.subject(c, r)
	switch {
	case err != nil:
		return err
	case !m.seated():
		return refuse("no_such_member", "user", name).in(r.name)
	case m.Muted == muted:
		s.answer(c, r, "nothing_changed")
		return nil
	}
	next := r.copied(m)
	next.Muted = muted
	return s.commit(ctx, r, Change{
		Room: r.Room, Put: []Member{next},
		Notice: s.notice(c, r, key, "user", name, "by", s.name(c.by, r)),
	})
}
