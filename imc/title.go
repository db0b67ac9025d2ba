package imc

import (
	"context"

	"silod/sip"
)

// maxTitle is the length of the longest title, in characters.
const maxTitle = 60

// setTitle sets the room's title; "-" removes it.
func (s *Service) setTitle(ctx context.Context, c *invocation, r *room) error {
	next, by := r.Room, s.actorName(c.by, r)
	notice := s.newNotice(c, r, "title_set", "title", c.text, "by", by)
	switch next.Title = c.text; {
	case len([]rune(c.text)) > maxTitle:
		return refuse("bad_title", "limit", itoa(maxTitle)).in(r.name)
	case c.text == "-":
		next.Title = ""
		notice = s.newNotice(c, r, "title_gone", "by", by)
	}
	return s.commit(ctx, r, Change{Room: next, Notice: notice})
}

// showTitle sends the caller the title of the room.
func (s *Service) showTitle(_ context.Context, c *invocation, r *room) error {
	if r.Title == "" {
		s.notifyCaller(c, r, "no_title")
		return nil
	}
	s.notifyCaller(c, r, "title", "title", r.Title)
	return nil
}

// titleOf returns the title of a room for use after its name, "" without a title.
func (s *Service) titleOf(r *room) string {
	if r.Title == "" {
		return ""
	}
	return s.text("titled", r.name, "title", r.Title)
}

// welcome sends a user that has joined a room with a title or a topic both of them, and says how
// to leave.
func (s *Service) welcome(c *invocation, r *room, user sip.AoR) {
	if r.Title == "" && r.Topic == "" {
		return
	}
	text := s.text("welcome", r.name, "title", s.titleOf(r))
	if r.Topic != "" {
		text += "\n" + s.text("topic", r.name, "topic", r.Topic)
	}
	s.notifyUser(c, user, r.name, text)
}
