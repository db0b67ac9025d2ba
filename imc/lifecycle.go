package imc

import (
	"context"

	"silod/sip"
)

// create makes a room with the caller, or for an operator another user, as its
// owner and first member. Where there is one of that name its members are told so,
// and others are let in as by #join.
func (s *Service) create(ctx context.Context, c *call, r *room) error {
	if r.exists() {
		switch {
		case s.cfg().CheckOnCreate || c.by.operator:
			return refuse("room_exists").in(r.name)
		default:
			return s.join(ctx, c, r)
		}
	}
	if err := s.nameable(r.name); err != nil {
		return err
	}
	if err := s.eligible(r, c.user); err != nil {
		return err
	}
	if r.made { // destroyed, but not everybody has its last words
		if err := s.giveWay(ctx, r); err != nil {
			return err
		}
		return errAgain
	}
	err := s.commit(ctx, r, Change{
		Room: Room{AoR: r.name, Private: c.priv, Created: s.stamp()},
		Put:  []Member{s.newMember(r, c.user, Owner, sip.AoR{})},
	})
	if err != nil {
		return err
	}
	key := text("created")
	if c.priv {
		key = "created_private"
	}
	s.tell(c.user, r.name, c.by.call, s.text(key, r.name))
	return nil
}

// join makes a user a member: the caller, or, for #add, another. An invitation opens
// a private room; to a ban nothing is stronger, not even an owner's #add, because a
// ban is easily forgotten and #unban easily sent.
func (s *Service) join(ctx context.Context, c *call, r *room) error {
	self := c.user == c.by.user
	if !r.exists() {
		if !s.cfg().CreateOnJoin {
			return refuse("no_room").in(r.name)
		}
		return s.create(ctx, c, r)
	}
	m := r.index[c.user]
	name := display(c.user, r.name)
	switch {
	case m.seated() && self:
		s.tell(c.user, r.name, c.by.call, s.text("already_in", r.name))
		return nil
	case m.seated():
		s.answer(c, r, "already_there", "user", name)
		return nil
	case m != nil && m.Role == Banned && self:
		return refuse("you_banned").in(r.name)
	case m != nil && m.Role == Banned:
		return refuse("they_banned", "user", name).in(r.name)
	case self && m == nil && r.Private:
		s.knock(c, r)
		return refuse("private").in(r.name)
	}
	if err := s.eligible(r, c.user); err != nil {
		return err
	}
	return s.commit(ctx, r, Change{
		Room:   r.Room,
		Put:    []Member{s.newMember(r, c.user, Plain, sip.AoR{})},
		Notice: s.notice(c, r, "joined", "user", name),
	})
}

// knock tells the owner and the admins of a private room that somebody wanted to
// come in: once an hour, or it would be a way to pester them.
func (s *Service) knock(c *call, r *room) {
	if first, _, _ := s.knocks.take(c.user, r.name, 1, s.now()); !first {
		return
	}
	for _, m := range r.members {
		if m.Role == Owner || m.Role == Admin {
			s.tell(m.User, r.name, c.by.call, s.text("attempted", r.name, "user", display(c.user, r.name)))
		}
	}
}

// eligible tells whether a user could be a member of any room: a person, whose
// address the store can hold.
func (s *Service) eligible(r *room, u sip.AoR) error {
	if s.IsRoom(u) {
		return refuse("not_a_user", "user", display(u, r.name)).in(r.name)
	}
	return storable(u)
}

// exit takes the caller out of the room. A room without an owner would be a room
// that nobody can end: it ends with the owner, or the owner may not go.
func (s *Service) exit(ctx context.Context, c *call, r *room) error {
	name := display(c.user, r.name)
	if r.index[c.user].Role == Owner {
		if s.cfg().OwnerLeave == OwnerLeaveRefused {
			return refuse("owner_keeps").in(r.name)
		}
		return s.close(ctx, r, s.notice(c, r, "owner_left", "user", name))
	}
	err := s.commit(ctx, r, Change{
		Room:   r.Room,
		Remove: []sip.AoR{c.user},
		Notice: s.notice(c, r, "left", "user", name),
	})
	if err != nil {
		return err
	}
	s.tell(c.user, r.name, c.by.call, s.text("you_left", r.name))
	return nil
}

// destroy ends the room for everybody.
func (s *Service) destroy(ctx context.Context, c *call, r *room) error {
	return s.close(ctx, r, s.notice(c, r, "destroyed", "by", s.name(c.by, r)))
}

// close ends a room with a last word to all members, the owner too. What has been
// said in it was answered 200 and still reaches everybody: the room is closed now,
// and bury deletes it when that is done.
func (s *Service) close(ctx context.Context, r *room, last *Entry) error {
	closed := r.Room
	closed.Closed = true
	return s.commit(ctx, r, Change{Room: closed, Notice: last})
}

// makePrivate and makePublic say who may come in by #join.
func (s *Service) makePrivate(ctx context.Context, c *call, r *room) error {
	return s.setPrivate(ctx, c, r, true, "made_private")
}

func (s *Service) makePublic(ctx context.Context, c *call, r *room) error {
	return s.setPrivate(ctx, c, r, false, "made_public")
}

func (s *Service) setPrivate(ctx context.Context, c *call, r *room, private bool, key text) error {
	if r.Private == private {
		s.answer(c, r, "nothing_changed")
		return nil
	}
	next := r.Room
	next.Private = private
	return s.commit(ctx, r, Change{Room: next, Notice: s.notice(c, r, key, "by", s.name(c.by, r))})
}

// setTopic says what the room is about; "-" takes that back.
func (s *Service) setTopic(ctx context.Context, c *call, r *room) error {
	next, by := r.Room, s.name(c.by, r)
	notice := s.notice(c, r, "topic_set", "topic", c.words, "by", by)
	switch next.Topic = c.words; {
	case len([]rune(c.words)) > maxTopic:
		return refuse("bad_topic", "limit", itoa(maxTopic)).in(r.name)
	case c.words == "-":
		next.Topic = ""
		notice = s.notice(c, r, "topic_gone", "by", by)
	}
	return s.commit(ctx, r, Change{Room: next, Notice: notice})
}

// name is how others see who asked for something.
func (s *Service) name(a actor, r *room) string {
	if a.operator {
		return s.text("operator", r.name)
	}
	return display(a.user, r.name)
}

// answer tells the caller something; an operator has the result itself.
func (s *Service) answer(c *call, r *room, key text, a ...string) {
	if !c.by.operator {
		s.tell(c.by.user, r.name, c.by.call, s.text(key, r.name, a...))
	}
}
