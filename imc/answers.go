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

// The lists that people get. A list longer than maxPages is cut off, and says so:
// nobody reads further on a telephone, and it must not fill a mailbox.
const (
	pageBytes   = 1000 // of text in one message: RFC 3428 section 8 allows 1300 for all of it
	maxPages    = 40
	historyLast = 20   // entries of #history without a number
	historyMost = 1000 // entries that are looked through at most
)

// list tells who is in the room, who is muted, and who is paused. Those invited are
// not in it yet.
func (s *Service) list(_ context.Context, c *call, r *room) error {
	lines := []string{s.text("members", r.name, "count", itoa(r.seated))}
	for _, m := range r.seatedFirst() {
		key, mark := text("member"), ""
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
		lines = append(lines, s.text(key, r.name, "mark", mark, "user", display(m.User, r.name)))
	}
	s.tell(c.by.user, r.name, c.by.call, s.pages(lines)...)
	return nil
}

// seatedFirst gives copies of the members, the owner first, then admins, then the
// others as they came.
func (r *room) seatedFirst() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	ms := make([]Member, 0, r.seated)
	for _, m := range r.members {
		if m.seated() {
			ms = append(ms, m.Member)
		}
	}
	slices.SortStableFunc(ms, func(a, b Member) int { return cmp.Compare(b.Role, a.Role) })
	return ms
}

// listRooms tells which rooms there are: private ones only to those who are in
// them or invited.
func (s *Service) listRooms(_ context.Context, c *call, _ *room) error {
	var lines []string
	for r := range s.sorted() {
		r.mu.Lock()
		m := r.index[c.by.user]
		if r.exists() && (!r.Private || m != nil && m.Role != Banned) {
			line := s.text("a_room", r.name, "count", itoa(r.seated), "topic", r.Topic)
			lines = append(lines, strings.TrimRight(line, " "))
		}
		r.mu.Unlock()
	}
	lines = slices.Insert(lines, 0, s.text("rooms", c.to, "count", itoa(len(lines))))
	s.tell(c.by.user, c.to, c.by.call, s.pages(lines)...)
	return nil
}

// help lists the commands as the table has them, all of them whatever the caller's
// role: a room's owner reads it before there is a room.
func (s *Service) help(_ context.Context, c *call, _ *room) error {
	lines := []string{s.text("help", c.to)}
	for _, cmd := range s.cfg().commands {
		lines = append(lines, s.text("help_line", c.to, "usage", s.usage(cmd), "help", cmd.help))
	}
	s.tell(c.by.user, c.to, c.by.call, s.pages(lines)...)
	return nil
}

// showTopic tells what the room is about.
func (s *Service) showTopic(_ context.Context, c *call, r *room) error {
	if r.Topic == "" {
		s.answer(c, r, "no_topic")
		return nil
	}
	s.answer(c, r, "topic", "topic", r.Topic)
	return nil
}

// history tells what was said: the last things, or those since a time.
func (s *Service) history(ctx context.Context, c *call, r *room) error {
	entries, err := s.recent(ctx, r, c.since, c.count)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		s.answer(c, r, "no_history")
		return nil
	}
	lines := []string{s.text("history", r.name, "count", itoa(len(entries)))}
	for i := range entries {
		lines = append(lines, s.recall(&entries[i]))
	}
	s.tell(c.by.user, r.name, c.by.call, s.pages(lines)...)
	return nil
}

// recent reads the last entries of a room: count of them, or as many as there are
// since a time, or historyLast where neither is said.
func (s *Service) recent(ctx context.Context, r *room, since time.Time, count int) ([]Entry, error) {
	switch {
	case count == 0 && since.IsZero():
		count = historyLast
	case count == 0 || count > historyMost:
		count = historyMost
	}
	sctx, cancel := storing(ctx)
	defer cancel()
	entries, err := s.store.Recent(sctx, r.kept(), since, count)
	if err != nil {
		return nil, fmt.Errorf("read the log of %s: %w", r.name, err)
	}
	return entries, nil
}

// recall writes an entry as a line of #history. What is no text is named, with its
// type and size; to get it again one would have to be sent it again.
func (s *Service) recall(e *Entry) string {
	a := []string{"time", e.At.In(s.now().Location()).Format("2006-01-02 15:04"), "user", display(e.From, e.Room)}
	if c := inspect(&e.Message); c.text != "" {
		key := text("said")
		if e.From == e.Room {
			key = "noted"
		}
		return s.text(key, e.Room, append(a, "text", strings.TrimSpace(strings.ToValidUTF8(c.text, "?")))...)
	}
	return s.text("sent", e.Room, append(a, "type", clip(mediaType(&e.Message)), "size", itoa(len(e.Body)))...)
}

// pages packs lines into as few texts of at most pageBytes as possible. A line that is
// longer than that is broken, never within a character.
func (s *Service) pages(lines []string) []string {
	var pages []string
	var page strings.Builder
	turn := func() {
		if page.Len() > 0 {
			pages = append(pages, page.String())
			page.Reset()
		}
	}
	for i, line := range lines {
		if page.Len() > 0 && page.Len()+1+len(line) > pageBytes {
			turn()
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
			page.WriteString(s.cfg().texts.write("more", args{"count", itoa(len(lines) - i)}))
			break
		}
		if page.Len() > 0 {
			page.WriteByte('\n')
		}
		page.WriteString(line)
	}
	turn()
	return pages
}
