package imc

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"silod/sip"
)

// param is a kind of parameter.
type param int

const (
	roomParam    param = iota // optional, but for the manager, who is no room
	leadRoom                  // a room that only the manager must be told: free text follows
	userParam                 // a user
	roleParam                 // owner, admin or member
	privateParam              // the word private, optional
	countParam                // a number
	sinceParam                // the word since and a time
	textParam                 // the rest of the line, at least one character
)

// usage is how #help writes a parameter.
var usage = map[param]string{
	roomParam: "[ROOM]", userParam: "USER", roleParam: "owner|admin|member", privateParam: "[private]",
	countParam: "N", sinceParam: "since TIME", textParam: "TEXT",
}

// call is a command that was understood.
type call struct {
	*command
	by    actor
	to    sip.AoR // the address that was written to; zero for an operator
	room  sip.AoR
	user  sip.AoR // whom it is about: the caller where no other is named
	role  Role
	priv  bool
	count int
	since time.Time
	words string
}

// line is what is left to be read of a command. Words are separated by blanks, and
// none can be quoted: addresses have no blanks, and free text comes last.
type line struct{ rest string }

// word takes the next word, "" at the end.
func (l *line) word() string {
	l.rest = strings.TrimLeft(l.rest, blanks)
	i := strings.IndexAny(l.rest, blanks)
	if i < 0 {
		i = len(l.rest)
	}
	w := l.rest[:i]
	l.rest = l.rest[i:]
	return w
}

// peek gives the next word without taking it.
func (l *line) peek() string {
	c := *l
	return c.word()
}

const blanks = " \t"

// parse reads the line behind the start character. It finds the form of the
// command that fits; where none does it refuses as the one that came furthest.
func (s *Service) parse(req *Request, text string) (*call, *refusal) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n") // a command is one line
	l := line{strings.TrimRight(text, " \t\r")}
	name := l.word()
	if name == "" {
		return nil, refuse("bad_command")
	}
	forms := s.forms(name)
	if len(forms) == 0 {
		return nil, refuse("unknown", "command", printable(clip(name)))
	}
	var (
		best *call
		no   *refusal
		left int
	)
	for _, cmd := range forms {
		c := &call{command: cmd, to: req.Room, room: req.Room, user: req.Sender, by: actor{user: req.Sender, call: req.CallID}}
		rest := l
		err := s.fill(c, &rest)
		if err == nil {
			return c, nil
		}
		if best == nil || len(rest.rest) <= left {
			best, no, left = c, err, len(rest.rest)
		}
	}
	return best, no
}

// fill reads a command's parameters. A room that is left out is the one written to;
// the manager is no room, and must be told one.
func (s *Service) fill(c *call, l *line) *refusal {
	named := !s.isManager(c.room)
	for i, p := range c.params {
		var no *refusal
		switch p {
		case roomParam, leadRoom:
			next := l.peek()
			if p == leadRoom && named || next == "" || isPrivate(next) && i+1 < len(c.params) {
				continue
			}
			named = true
			c.room, no = s.parseRoom(l.word(), c.to.Domain)
		case userParam:
			if l.peek() == "" {
				return s.wrong(c)
			}
			c.user, no = s.parseUser(l.word(), c.to.Domain)
		case roleParam:
			c.role, no = parseRole(l.word())
		case privateParam:
			if isPrivate(l.peek()) {
				l.word()
				c.priv = true
			}
		case countParam:
			n, err := strconv.Atoi(l.word())
			if err != nil || n < 1 {
				return s.wrong(c)
			}
			c.count = n
		case sinceParam:
			if !strings.EqualFold(l.word(), "since") {
				return s.wrong(c)
			}
			c.since, no = s.parseSince(l.word())
		case textParam:
			c.words, l.rest = printable(strings.Trim(l.rest, blanks)), ""
			if c.words == "" {
				return s.wrong(c)
			}
		}
		if no != nil {
			return no
		}
	}
	switch {
	case l.peek() != "":
		return s.wrong(c)
	case !named && c.needsRoom():
		return refuse("name_the_room", "usage", s.usage(c.command))
	}
	return nil
}

func (s *Service) wrong(c *call) *refusal { return refuse("usage", "usage", s.usage(c.command)) }

// usage writes how a command is called.
func (s *Service) usage(c *command) string {
	words := []string{s.cfg().StartChar + c.name}
	for _, p := range c.params {
		if w := usage[p]; w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

func isPrivate(word string) bool { return strings.EqualFold(word, "private") }

// roleNames are those that a member can be given.
var roleNames = map[string]Role{"owner": Owner, "admin": Admin, "member": Plain}

func parseRole(word string) (Role, *refusal) {
	r, ok := roleNames[strings.ToLower(word)]
	if !ok {
		return 0, refuse("bad_role", "value", printable(clip(word)))
	}
	return r, nil
}

// String names a role as people write it.
func (r Role) String() string {
	switch r {
	case Invited:
		return "invited"
	case Plain:
		return "member"
	case Admin:
		return "admin"
	case Owner:
		return "owner"
	case Banned:
		return "banned"
	}
	return "Role(" + strconv.Itoa(int(r)) + ")"
}

// parseAddress reads a user or a room: a URI or a name, in angle brackets or not. A
// name alone is of the domain that the command was sent to.
func (s *Service) parseAddress(word, domain string) (a sip.AoR, ours bool, err error) {
	if w, found := strings.CutPrefix(word, "<"); found {
		word = strings.TrimSuffix(w, ">")
	}
	if domain != "" && word != "" && !strings.ContainsAny(word, "@:") {
		word += "@" + domain
	}
	return s.domains.Parse(word)
}

func (s *Service) parseUser(word, domain string) (sip.AoR, *refusal) {
	a, _, err := s.parseAddress(word, domain)
	if err != nil {
		return sip.AoR{}, refuse("bad_user", "value", printable(clip(word)))
	}
	return a, nil
}

func (s *Service) parseRoom(word, domain string) (sip.AoR, *refusal) {
	a, ours, err := s.parseAddress(word, domain)
	switch {
	case err != nil:
		return sip.AoR{}, refuse("bad_room", "value", printable(clip(word)), "pattern", s.cfg().RoomPattern)
	case !ours:
		return sip.AoR{}, refuse("foreign_room", "value", printable(clip(word)))
	}
	return roomName(a), nil
}

// parseSince reads a time: so long ago, at that hour of the last day, on that day,
// or exactly.
func (s *Service) parseSince(word string) (time.Time, *refusal) {
	now := s.now()
	if n, err := strconv.Atoi(strings.TrimSuffix(word, "d")); err == nil && strings.HasSuffix(word, "d") && n > 0 && n < 10000 {
		return now.AddDate(0, 0, -n), nil
	}
	if d, err := time.ParseDuration(word); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation("15:04", word, now.Location()); err == nil {
		t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
		if t.After(now) {
			t = t.AddDate(0, 0, -1)
		}
		return t, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, word, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, refuse("bad_time", "value", printable(clip(word)))
}

// printable makes text from somebody fit to be shown in a line to somebody else.
func printable(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func itoa(n int) string { return strconv.Itoa(n) }
