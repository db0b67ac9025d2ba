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
		case c.hides(r):
			return s.refuseOutsider(c, r)
		case s.config().CheckOnCreate || c.by.operator:
			return refuse("room_exists").in(r.name)
		default:
			return s.join(ctx, c, r)
		}
	}
	if err := s.checkCreation(c, r); err != nil {
		return err
	}
	if err := s.checkOwn(c, r); err != nil {
		return err
	}
	if r.stored { // closed, and some members have entries to get
		if err := s.moveAside(ctx, r); err != nil {
			return err
		}
		return errRetry
	}
	if err := s.checkCreationRate(c, r); err != nil {
		return err
	}
	created := Room{AoR: r.name, Private: c.private, Created: s.entryTime(), Creator: c.by.user}
	if s.config().OpenHistory == OpenHistoryNew {
		created.OpenHistory = r.openFrom()
	}
	owner := s.newMember(r, c.user, Owner, sip.AoR{})
	if c.by.operator {
		owner.AddedBy = r.name
	}
	err := s.commit(ctx, r, Change{Room: created, Put: []Member{owner}})
	if err != nil {
		return err
	}
	key := textKey("created")
	if c.private {
		key = "created_private"
	}
	s.notifyUser(c, c.user, r.name, s.text(key, r.name))
	s.unmarkLeft(ctx, c.user, r.name)
	s.tellOpen(c, r)
	return nil
}

// checkCreation returns a refusal unless the user of a command may own a room with this name. It
// does not check the limits.
func (s *Service) checkCreation(c *invocation, r *room) error {
	if !c.by.mayCreate && !c.by.operator {
		return refuse("no_creator").in(r.name)
	}
	if err := s.checkRoomName(r.name); err != nil {
		return err
	}
	return s.checkUser(r, c.user)
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
	m := r.known(c.user)
	name := displayName(c.user, r.name)
	switch {
	case m.joined() && self:
		return s.confirm(ctx, c, r)
	case m.joined():
		s.notifyCaller(c, r, "already_there", "user", name)
		return nil
	case self && c.hides(r):
		return s.refuseOutsider(c, r)
	case m != nil && m.Role == Banned && self:
		return s.banRefusal(r, m)
	case m != nil && m.Role == Banned:
		return refuse("they_banned", "user", name).in(r.name)
	}
	if err := s.checkUser(r, c.user); err != nil {
		return err
	}
	joined := s.newMember(r, c.user, Plain, sip.AoR{})
	var err error
	if joined.AddedBy, err = s.checkJoin(ctx, c, r); err != nil {
		return err
	}
	err = s.commit(ctx, r, Change{Room: r.Room, Put: []Member{joined}, Notice: s.newNotice(c, r, "joined", "user", name)})
	if err != nil {
		s.consent.additions.Forget(userRoom{c.user, r.name})
		return err
	}
	if self {
		s.consent.invitations.Forget(userRoom{c.user, r.name})
		s.unmarkLeft(ctx, c.user, r.name)
	}
	s.welcome(c, r, c.user)
	s.tellOpen(c, r)
	return nil
}

// exit removes the caller from the room. A room without an owner could not be
// destroyed by its members, so the owner's exit destroys the room or is refused.
func (s *Service) exit(ctx context.Context, c *invocation, r *room) error {
	name := displayName(c.user, r.name)
	if r.find(c.user).Role == Owner {
		if s.config().OwnerLeave == OwnerLeaveRefused {
			return refuse("owner_keeps").in(r.name)
		}
		return s.close(ctx, r, s.newNotice(c, r, "owner_left", "user", name))
	}
	change := Change{Room: r.Room, Notice: s.newNotice(c, r, "left", "user", name)}
	r.depart(&change, r.find(c.user))
	if err := s.commit(ctx, r, change); err != nil {
		return err
	}
	s.markLeft(ctx, c.user, r.name)
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
