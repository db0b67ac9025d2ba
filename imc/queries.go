package imc

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of lists. A list longer than maxPages is cut off with a remark, so that it
// does not fill a mailbox.
const (
	pageBytes = 1000 // of text in one message: RFC 3428 section 8 allows 1300 for the whole message
	maxPages  = 40
)

// list sends the caller the members of the room, without invited users.
func (s *Service) list(_ context.Context, c *invocation, r *room) error {
	head, now := textKey("members"), s.now()
	if r.Moderated {
		head = "members_quiet"
	}
	lines := []string{s.text(head, r.name, "count", itoa(r.joined))}
	for _, m := range r.membersByRole() {
		key, until := textKey("member"), ""
		switch {
		case m.isMuted(now):
			key, until = "member_muted", s.until(r, m.MutedUntil)
		case m.Paused:
			key = "member_paused"
		case r.Moderated && m.Voiced:
			key = "member_voiced"
		}
		lines = append(lines, s.text(key, r.name, "mark", m.mark(), "until", until, "user", s.listedName(r, &m)))
	}
	s.notifyUser(c, c.by.user, r.name, s.pages(lines)...)
	return nil
}

// membersByRole returns copies of the members that have joined: the owner, then
// admins, then the others in the order in which they were added.
func (r *room) membersByRole() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms := make([]Member, 0, r.joined)
	for _, m := range r.members {
		if m.joined() {
			ms = append(ms, m.Member)
		}
	}
	slices.SortStableFunc(ms, func(a, b Member) int { return cmp.Compare(b.Role, a.Role) })
	return ms
}

// maxRoomsListed is the number of rooms that fit one message.
const maxRoomsListed = pageBytes / 8

// listRooms sends the caller the public rooms, and the private ones of which the
// caller is a member or to which it is invited: in one message those that fit, and the
// command that shows the next ones.
func (s *Service) listRooms(_ context.Context, c *invocation, _ *room) error {
	rooms, count := s.visibleRooms(c.by.user, c.from, maxRoomsListed)
	page := s.text("rooms", c.to, "count", itoa(count))
	for i, r := range rooms {
		more := s.text("more_rooms", c.to, "count", itoa(count-i), "next", displayName(r.name, c.to))
		r.mu.Lock()
		line := strings.TrimRight(s.text("a_room", r.name, "count", itoa(r.joined), "title", s.titleOf(r), "topic", r.Topic), " ")
		r.mu.Unlock()
		if i > 0 && len(page)+len(line)+len(more)+2 > pageBytes && (i < count-1 || len(page)+len(line)+1 > pageBytes) {
			page += "\n" + more
			break
		}
		page += "\n" + line
	}
	s.notifyUser(c, c.by.user, c.to, page)
	return nil
}

// help sends the caller all commands of the table. The role does not matter: the
// owner of a room reads #help before the room exists.
func (s *Service) help(_ context.Context, c *invocation, _ *room) error {
	lines := []string{s.text("help", c.to)}
	for _, cmd := range s.commands {
		lines = append(lines, s.text("help_line", c.to, "usage", s.usage(cmd, false), "help", cmd.help))
	}
	s.notifyUser(c, c.by.user, c.to, s.pages(lines)...)
	return nil
}

// showTopic sends the caller the topic of the room.
func (s *Service) showTopic(_ context.Context, c *invocation, r *room) error {
	if r.Topic == "" {
		s.notifyCaller(c, r, "no_topic")
		return nil
	}
	s.notifyCaller(c, r, "topic", "topic", r.Topic)
	return nil
}

// pages packs lines into texts of at most pageBytes. A longer line is split between
// two characters, and its next part begins with furtherLine.
func (s *Service) pages(lines []string) []string {
	var pages []string
	var page strings.Builder
	endPage := func() {
		if page.Len() > 0 {
			pages = append(pages, page.String())
			page.Reset()
		}
	}
	for i, line := range lines {
		if page.Len() > 0 && page.Len()+1+len(line) > pageBytes {
			endPage()
		}
		for len(line) > pageBytes && len(pages) < maxPages {
			n := pageBytes
			for n > 0 && !utf8.RuneStart(line[n]) {
				n--
			}
			pages = append(pages, line[:n])
			line = furtherLine + line[n:] // a message begins with a line of its own
		}
		if len(pages) >= maxPages {
			page.WriteString(s.settings().texts.expand("more", args{"count", itoa(len(lines) - i)}))
			break
		}
		if page.Len() > 0 {
			page.WriteByte('\n')
		}
		page.WriteString(line)
	}
	endPage()
	return pages
}
