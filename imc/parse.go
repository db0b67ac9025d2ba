package imc

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"silod/sip"
)

// A param is the kind of a parameter.
type param int

const (
	roomParam      param = iota // a room; optional, except in a message to the manager
	roomBeforeText              // a room before free text; only in a message to the manager
	userParam                   // a user
	roleParam                   // owner, admin or member
	privateParam                // the word private, optional
	countParam                  // a number
	sinceParam                  // the word since and a time
	fromParam                   // the name of a room at which a list begins, optional
	textParam                   // the rest of the line, at least one character
)

// paramUsage holds the parameters as #help shows them.
var paramUsage = map[param]string{
	roomParam: "[ROOM]", userParam: "USER", roleParam: "owner|admin|member", privateParam: "[private]",
	countParam: "N", fromParam: "[NAME]", sinceParam: "since TIME", textParam: "TEXT",
}

// An invocation is a parsed command with its arguments.
type invocation struct {
	*command
	by      actor
	to      sip.AoR // the address that the request was sent to; zero for an operator
	room    sip.AoR
	user    sip.AoR // the user that the command is about; the sender if none is named
	role    Role
	private bool
	count   int
	since   time.Time
	from    sip.AoR
	text    string

	said   string          // the text of the whole command; "" for an operator
	direct []directMessage // that it has led to
}

// A wordReader reads the words of a command. They are separated by blanks and cannot be
// quoted: addresses contain no blanks, and free text comes last.
type wordReader struct{ rest string }

// next returns the next word, "" at the end.
func (r *wordReader) next() string {
	r.rest = strings.TrimLeft(r.rest, blanks)
	i := strings.IndexAny(r.rest, blanks)
	if i < 0 {
		i = len(r.rest)
	}
	word := r.rest[:i]
	r.rest = r.rest[i:]
	return word
}

// peek returns the next word without consuming it.
func (r *wordReader) peek() string {
	c := *r
	return c.next()
}

const blanks = " \t"

// parse parses a command; text follows the start character. It returns the first form
// that matches. If none does, it returns the form that matched the most words, together
// with its refusal.
func (s *Service) parse(req *Request, text string) (*invocation, *refusal) {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n") // a command is one line
	words := wordReader{strings.TrimRight(text, " \t\r")}
	name := words.next()
	if name == "" {
		return nil, refuse("bad_command")
	}
	forms := s.commandForms(name)
	if len(forms) == 0 {
		return nil, refuse("unknown", "command", printable(clip(name)))
	}
	by := actor{user: req.Sender.AoR, mayCreate: s.mayCreate(req.Sender), callID: req.CallID}
	var (
		best    *invocation
		refused *refusal
		left    int
	)
	for _, cmd := range forms {
		c := &invocation{command: cmd, to: req.Room, room: req.Room, user: by.user, by: by}
		rest := words
		err := s.parseParams(c, &rest)
		if err == nil {
			return c, nil
		}
		if best == nil || len(rest.rest) <= left {
			best, refused, left = c, err, len(rest.rest)
		}
	}
	return best, refused
}

// parseParams parses the parameters of a command. The room defaults to the one that
// the message was sent to; in a message to the manager it must be named.
func (s *Service) parseParams(c *invocation, words *wordReader) *refusal {
	hasRoom := !s.isManager(c.room)
	for i, p := range c.params {
		var refused *refusal
		switch p {
		case roomParam, roomBeforeText:
			next := words.peek()
			if p == roomBeforeText && hasRoom || next == "" || isPrivate(next) && i+1 < len(c.params) {
				continue
			}
			hasRoom = true
			c.room, refused = s.parseRoom(words.next(), c.to.Domain)
		case userParam:
			if words.peek() == "" {
				return s.usageError(c)
			}
			c.user, refused = s.parseUser(words.next(), c.to.Domain)
		case roleParam:
			c.role, refused = parseRole(words.next())
		case privateParam:
			if isPrivate(words.peek()) {
				words.next()
				c.private = true
			}
		case countParam:
			n, err := strconv.Atoi(words.next())
			if err != nil || n < 1 {
				return s.usageError(c)
			}
			c.count = n
		case sinceParam:
			if !strings.EqualFold(words.next(), "since") {
				return s.usageError(c)
			}
			c.since, refused = s.parseSince(words.next())
		case fromParam:
			if words.peek() != "" {
				c.from, refused = s.parseRoom(words.next(), c.to.Domain)
			}
		case textParam:
			c.text, words.rest = printable(strings.Trim(words.rest, blanks)), ""
			if c.text == "" {
				return s.usageError(c)
			}
		}
		if refused != nil {
			return refused
		}
	}
	switch {
	case words.peek() != "":
		return s.usageError(c)
	case !hasRoom && c.needsRoom():
		return refuse("name_the_room", "usage", s.usage(c.command))
	}
	return nil
}

// usageError returns the refusal that shows the syntax of a command.
func (s *Service) usageError(c *invocation) *refusal {
	return refuse("usage", "usage", s.usage(c.command))
}

// usage returns the syntax of a command.
func (s *Service) usage(c *command) string {
	words := []string{s.config().StartChar + c.name}
	for _, p := range c.params {
		if w := paramUsage[p]; w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

func isPrivate(word string) bool { return strings.EqualFold(word, "private") }

// roleNames are the roles that #modify can set.
var roleNames = map[string]Role{"owner": Owner, "admin": Admin, "member": Plain}

func parseRole(word string) (Role, *refusal) {
	r, ok := roleNames[strings.ToLower(word)]
	if !ok {
		return 0, refuse("bad_role", "value", printable(clip(word)))
	}
	return r, nil
}

// String returns the name of a role, as users write it.
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
	case Former:
		return "former"
	}
	return "Role(" + strconv.Itoa(int(r)) + ")"
}

// parseAddress parses the address of a user or a room: a URI or a name, with or
// without angle brackets. A name without a domain gets domain. ours reports whether
// the domain is served here.
func (s *Service) parseAddress(word, domain string) (a sip.AoR, ours bool, err error) {
	word = strings.TrimSpace(word)
	if w, found := strings.CutPrefix(word, "<"); found {
		word = strings.TrimSuffix(w, ">")
	}
	if domain != "" && word != "" && !strings.ContainsAny(word, "@:") && !s.domains.Has(word) {
		word += "@" + domain
	}
	return s.domains.Parse(word)
}

// parseUser parses the address of a user.
func (s *Service) parseUser(word, domain string) (sip.AoR, *refusal) {
	a, _, err := s.parseAddress(word, domain)
	if err != nil {
		return sip.AoR{}, refuse("bad_user", "value", printable(clip(word)))
	}
	return a, nil
}

// parseRoom parses the name of a room, which must be in a domain that is served here.
func (s *Service) parseRoom(word, domain string) (sip.AoR, *refusal) {
	a, ours, err := s.parseAddress(word, domain)
	switch {
	case err != nil:
		return sip.AoR{}, refuse("bad_room", "value", printable(clip(word)), "pattern", s.config().RoomPattern)
	case !ours:
		return sip.AoR{}, refuse("foreign_room", "value", printable(clip(word)))
	}
	return a.Lower(), nil
}

// parseSince parses a time in the past: a duration (2h, 3d), a time within the last 24
// hours, a date, or a date with a time.
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

// printable returns text of a user in a form that is safe to show in a line: valid
// UTF-8 without control characters, line separators and characters that change the
// direction of the text around them. Joiners are part of many scripts and stay.
func printable(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, s)
}

func itoa(n int) string { return strconv.Itoa(n) }
