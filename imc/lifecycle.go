package imc

import (
	"context"

	"silod/sip"
)

// create creates a room with the caller, or for an operator another user, as its owner
// and first member. If the room exists the command acts as #join, or is refused for an
// operator or with CheckOnCreate.
func (s *Service) create(ctx context.Context, c *invocation, r *room) error {
	if r.exists() {
		switch {
		case s.config().CheckOnCreate || c.by.operator:
			return refuse("room_exists").in(r.name)
		default:
			return s.join(ctx, c, r)
		}
	}
	if !c.by.mayCreate && !c.by.operator {
		return refuse("no_creator").in(r.name)
	}
	if err := s.checkRoomName(r.name); err != nil {
		return err
	}
	if err := s.checkUser(r, c.user); err != nil {
		return err
	}
	if r.stored { // closed, and some members have entries to get
		if err := s.moveAside(ctx, r); err != nil {
			return err
		}
		return errRetry
	}
	err := s.commit(ctx, r, Change{
		Room: Room{AoR: r.name, Private: c.private, Created: s.entryTime()},
		Put:  []Member{s.newMember(r, c.user, Owner, sip.AoR{})},
	})
	if err != nil {
		return err
	}
	key := textKey("created")
	if c.private {
		key = "created_private"
	}
	s.notifyUser(c, c.user, r.name, s.text(key, r.name))
	return nil
}

// join makes a user a member: the caller, or for #add another user. A private room
// can be joined only by invitation. A banned user cannot be added, not even by the
// owner: a ban is easily forgotten, and #unban lifts it.
func (s *Service) join(ctx context.Context, c *invocation, r *room) error {
	self := c.user == c.by.user
	if !r.exists() {
		if !s.config().CreateOnJoin {
			return refuse("no_room").in(r.name)
		}
		return s.create(ctx, c, r)
	}
	m := r.index[c.user]
	name := displayName(c.user, r.name)
	switch {
	case m.joined() && self:
		s.notifyUser(c, c.user, r.name, s.text("already_in", r.name))
		return nil
	case m.joined():
		s.notifyCaller(c, r, "already_there", "user", name)
		return nil
	case m != nil && m.Role == Banned && self:
		return refuse("you_banned").in(r.name)
	case m != nil && m.Role == Banned:
		return refuse("they_banned", "user", name).in(r.name)
	case self && m == nil && r.Private:
		s.notifyJoinAttempt(c, r)
		return refuse("private").in(r.name)
	}
	if err := s.checkUser(r, c.user); err != nil {
		return err
	}
	return s.commit(ctx, r, Change{
		Room:   r.Room,
		Put:    []Member{s.newMember(r, c.user, Plain, sip.AoR{})},
		Notice: s.newNotice(c, r, "joined", "user", name),
	})
}

// notifyJoinAttempt notifies the owner and the admins of a private room that a user
// tried to join, at most once an hour for each user.
func (s *Service) notifyJoinAttempt(c *invocation, r *room) {
	if _, ok, _ := s.joinAttempts.Take(userRoom{c.user, r.name}, joinAttemptRate, s.now()); !ok {
		return
	}
	for _, m := range r.members {
		if m.Role == Owner || m.Role == Admin {
			s.notifyUser(c, m.User, r.name, s.text("attempted", r.name, "user", displayName(c.user, r.name)))
		}
	}
}

// exit removes the caller from the room. A room without an owner could not be
// destroyed by its members, so the owner's exit destroys the room or is refused.
func (s *Service) exit(ctx context.Context, c *invocation, r *room) error {
	name := displayName(c.user, r.name)
	if r.index[c.user].Role == Owner {
		if s.config().OwnerLeave == OwnerLeaveRefused {
			return refuse("owner_keeps").in(r.name)
		}
		return s.close(ctx, r, s.newNotice(c, r, "owner_left", "user", name))
	}
	err := s.commit(ctx, r, Change{
		Room:   r.Room,
		Remove: []sip.AoR{c.user},
		Notice: s.newNotice(c, r, "left", "user", name),
	})
	if err != nil {
		return err
	}
	s.notifyUser(c, c.user, r.name, s.text("you_left", r.name))
	return nil
}

// destroy destroys the room.
func (s *Service) destroy(ctx context.Context, c *invocation, r *room) error {
	return s.close(ctx, r, s.newNotice(c, r, "destroyed", "by", s.actorName(c.by, r)))
}

func (s *Service) makePrivate(ctx context.Context, c *invocation, r *room) error {
	return s.setPrivate(ctx, c, r, true, "made_private")
}

func (s *Service) makePublic(ctx context.Context, c *invocation, r *room) error {
	return s.setPrivate(ctx, c, r, false, "made_public")
}

// setPrivate makes the room private or public; key is the notice to the members.
func (s *Service) setPrivate(ctx context.Context, c *invocation, r *room, private bool, key textKey) error {
	if r.Private == private {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	next := r.Room
	next.Private = private
	return s.commit(ctx, r, Change{Room: next, Notice: s.newNotice(c, r, key, "by", s.actorName(c.by, r))})
}

// maxTopic is the length of the longest topic, in characters.
const maxTopic = 200

// setTopic sets the room's topic; "-" removes it.
func (s *Service) setTopic(ctx context.Context, c *invocation, r *room) error {
	next, by := r.Room, s.actorName(c.by, r)
	notice := s.newNotice(c, r, "topic_set", "topic", c.text, "by", by)
	switch next.Topic = c.text; {
	case len([]rune(c.text)) > maxTopic:
		return refuse("bad_topic", "limit", itoa(maxTopic)).in(r.name)
	case c.text == "-":
		next.Topic = ""
		notice = s.newNotice(c, r, "topic_gone", "by", by)
	}
	return s.commit(ctx, r, Change{Room: next, Notice: notice})
}

// actorName returns the name of an actor as the room's texts show it.
func (s *Service) actorName(a actor, r *room) string {
	if a.operator {
		return s.text("operator", r.name)
	}
	return displayName(a.user, r.name)
}
