package imc

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of lists. A list longer than maxPages is cut off with a remark, so that it
// does not fill a mailbox.
const (
	pageBytes      = 1000 // of text in one message: RFC 3428 section 8 allows 1300 for the whole message
	maxPages       = 40
	defaultHistory = 20   // entries of #history without a number
	maxHistory     = 1000 // entries of #history
)

// list sends the caller the members of the room, without invited users.
func (s *Service) list(_ context.Context, c *invocation, r *room) error {
	lines := []string{s.text("members", r.name, "count", itoa(r.joined))}
	for _, m := range r.membersByRole() {
		key, mark := textKey("member"), ""
		switch {
		case m.Paused:
			key = "member_paused"
		case m.Muted:
			key = "member_muted"
		}
		switch m.Role {
		case Owner:
			mark = "*"
		case Admin:
			mark = "~"
		}
		lines = append(lines, s.text(key, r.name, "mark", mark, "user", displayName(m.User, r.name)))
	}
	s.notifyUser(c.by.user, r.name, c.by.callID, s.pages(lines)...)
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

// listRooms sends the caller the public rooms, and the private ones of which the
// caller is a member or to which it is invited.
func (s *Service) listRooms(_ context.Context, c *invocation, _ *room) error {
	var lines []string
	for r := range s.sortedRooms() {
		r.mu.Lock()
		m := r.index[c.by.user]
		if r.exists() && (!r.Private || m != nil && m.Role != Banned) {
			line := s.text("a_room", r.name, "count", itoa(r.joined), "topic", r.Topic)
			lines = append(lines, strings.TrimRight(line, " "))
		}
		r.mu.Unlock()
	}
	lines = slices.Insert(lines, 0, s.text("rooms", c.to, "count", itoa(len(lines))))
	s.notifyUser(c.by.user, c.to, c.by.callID, s.pages(lines)...)
	return nil
}

// help sends the caller all commands of the table. The role does not matter: the
// owner of a room reads #help before the room exists.
func (s *Service) help(_ context.Context, c *invocation, _ *room) error {
	lines := []string{s.text("help", c.to)}
	for _, cmd := range s.commands {
		lines = append(lines, s.text("help_line", c.to, "usage", s.usage(cmd), "help", cmd.help))
	}
	s.notifyUser(c.by.user, c.to, c.by.callID, s.pages(lines)...)
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

// history sends the caller entries of the room: the last ones, or those since a time.
func (s *Service) history(ctx context.Context, c *invocation, r *room) error {
	entries, err := s.recent(ctx, r, c.since, c.count)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		s.notifyCaller(c, r, "no_history")
		return nil
	}
	lines := []string{s.text("history", r.name, "count", itoa(len(entries)))}
	for i := range entries {
		lines = append(lines, s.historyLine(&entries[i]))
	}
	s.notifyUser(c.by.user, r.name, c.by.callID, s.pages(lines)...)
	return nil
}

// recent returns the last entries of a room: count of them, or those since a time, or
// defaultHistory if neither is given.
func (s *Service) recent(ctx context.Context, r *room, since time.Time, count int) ([]Entry, error) {
	switch {
	case count == 0 && since.IsZero():
		count = defaultHistory
	case count == 0 || count > maxHistory:
		count = maxHistory
	}
	sctx, cancel := storeContext(ctx)
	defer cancel()
	entries, err := s.store.Recent(sctx, r.storedAoR(), since, count)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", r.name, err)
	}
	return entries, nil
}

// historyLine returns an entry as a line of #history; an entry that is not text is
// shown by its type and size.
func (s *Service) historyLine(e *Entry) string {
	a := []string{"time", e.At.In(s.now().Location()).Format("2006-01-02 15:04"), "user", displayName(e.From, e.Room)}
	if c := inspect(&e.Message); c.text != "" {
		key := textKey("said")
		if e.From == e.Room {
			key = "noted"
		}
		return s.text(key, e.Room, append(a, "text", strings.TrimSpace(strings.ToValidUTF8(c.text, "?")))...)
	}
	return s.text("sent", e.Room, append(a, "type", clip(mediaType(&e.Message)), "size", itoa(len(e.Body)))...)
}

// pages packs lines into texts of at most pageBytes. A longer line is split between
// two characters.
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
			line = line[n:]
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
