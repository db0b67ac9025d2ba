package imc

import (
	"errors"
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
	catchUpParam                // a number, or the word all or none
	fromParam                   // the name of a room at which a list begins, optional
	textParam                   // the rest of the line, at least one character
	roomIfNamed                 // a room before free text: a word that names one; needed in a message to the manager
	termParam                   // the word for and a duration, optional
	reasonParam                 // the rest of the line, optional
	fromUserParam               // a user at which a list begins, optional
	targetParam                 // a room or a user, optional
	nickParam                   // a nickname
)

// paramUsage holds the parameters as #help shows them.
var paramUsage = map[param]string{
	roomParam: "[ROOM]", userParam: "USER", roleParam: "owner|admin|member", privateParam: "[private]",
	roomIfNamed: "[ROOM]", termParam: "[for TIME]", reasonParam: "[REASON]", fromUserParam: "[USER]",
	countParam: "N", catchUpParam: "N|all|none", fromParam: "[NAME]", targetParam: "[ROOM|USER]", sinceParam: "since TIME",
	textParam: "TEXT", nickParam: "NICK",
}

// An invocation is a parsed command with its arguments.
type invocation struct {
	*command
	by                actor
	to                sip.AoR // the address that the request was sent to; zero for an operator
	room              sip.AoR
	user              sip.AoR // the user that the command is about; the sender if none is named
	named             bool    // user is not the sender by default
	role              Role
	private           bool
	count             int // of entries; allEntries for all
	since             time.Time
	from              sip.AoR
	text              string
	accounts, aliases []sip.AoR     // of the user, for a sanction: see Options.Addresses
	word              string        // that names the user
	unread            int           // bytes that no parameter has matched, if parsing fails
	term              time.Duration // of a ban or a mute; 0: until it is lifted

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

// blanks separate words. Some keyboards type other spaces than that of ASCII.
const blanks = " \t\r\v\f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

// parse parses a command line without the start character. It returns the first form that
// matches. If none does, it returns the form that matched the most words, together with a
// refusal that shows the syntax of the command.
func (s *Service) parse(req *Request, line string) (*invocation, *refusal) {
	words := wordReader{strings.Trim(line, blanks)}
	name := words.next()
	if name == "" {
		return nil, refuse("bad_command")
	}
	forms := s.commandForms(name)
	if len(forms) == 0 {
		shown := printable(clip(name))
		if meant := s.meant(name); meant != "" {
			return nil, refuse("mistyped", "command", shown, "meant", meant)
		}
		return nil, refuse("unknown", "command", shown)
	}
	by := actor{
		user: req.Sender.AoR, account: req.Account, mayCreate: s.mayCreate(req.Sender),
		mayRelay: req.MayRelay, unproven: req.Unproven, callID: req.CallID,
	}
	var best *invocation
	var refused *refusal
	for _, cmd := range forms {
		c := &invocation{command: cmd, to: req.Room, room: req.Room, user: by.user, by: by}
		rest := words
		err := s.parseParams(c, &rest)
		switch {
		case err == nil:
			return c, nil
		case best == nil || c.unread < best.unread:
			best, refused = c, err
		case c.unread == best.unread:
			refused = commonRefusal(refused, err)
		}
	}
	return best, refused.withUsage(s.usages(forms, s.isManager(req.Room)))
}

// commonRefusal returns the refusal of a text that matches two forms equally little.
func commonRefusal(a, b *refusal) *refusal {
	switch {
	case a.text == b.text || a.text == "name_the_room":
		return a
	case b.text == "name_the_room":
		return b
	}
	return refuse("usage")
}

// withUsage adds the syntax of a command to a refusal.
func (r *refusal) withUsage(usage string) *refusal {
	if r.text == "usage" || r.text == "name_the_room" {
		r.args = args{"usage", usage}
	} else {
		r.usage = usage
	}
	return r
}

// parseParams parses the parameters of a command. The room defaults to the one that
// the message was sent to; in a message to the manager it must be named.
func (s *Service) parseParams(c *invocation, words *wordReader) *refusal {
	hasRoom := !s.isManager(c.room)
	for i, p := range c.params {
		c.unread = len(words.rest)
		if needsWord[p] && words.peek() == "" {
			return refuse("usage")
		}
		if isRoom[p] {
			if !s.roomFollows(c, i, *words, hasRoom) {
				continue
			}
			hasRoom = true
		}
		if refused := s.parseParam(c, p, words); refused != nil {
			return refused
		}
	}
	c.unread = len(words.rest)
	switch {
	case words.peek() != "":
		return refuse("usage")
	case !hasRoom && c.needsRoom():
		return refuse("name_the_room")
	}
	return nil
}

var (
	isRoom = map[param]bool{roomParam: true, roomBeforeText: true, roomIfNamed: true}

	// needsWord has the parameters that are at least one word.
	needsWord = map[param]bool{
		userParam: true, roleParam: true, countParam: true, catchUpParam: true, sinceParam: true, textParam: true, nickParam: true,
	}
)

// roomFollows reports whether the next word is that of parameter i, which is a room.
func (s *Service) roomFollows(c *invocation, i int, words wordReader, hasRoom bool) bool {
	next := words.peek()
	switch {
	case next == "":
		return false
	case c.params[i] == roomBeforeText:
		return !hasRoom
	case c.params[i] == roomIfNamed:
		return !strings.EqualFold(next, "for") && (!hasRoom || s.namesRoom(c, words))
	}
	return !isPrivate(next) || i+1 == len(c.params)
}

// parseParam parses a parameter.
func (s *Service) parseParam(c *invocation, p param, words *wordReader) (refused *refusal) {
	switch p {
	case roomParam, roomBeforeText, roomIfNamed:
		c.room, refused = s.parseExistingRoom(words.next(), c.to.Domain)
	case userParam, targetParam:
		if c.word = words.next(); c.word != "" {
			c.named = true
			c.user, refused = s.parseUser(c.word, c.to.Domain)
		}
	case roleParam:
		c.role, refused = parseRole(words.next())
	case privateParam:
		if isPrivate(words.peek()) {
			words.next()
			c.private = true
		}
	case countParam:
		c.count, refused = c.parseCount(words, 1)
	case catchUpParam:
		c.count, refused = c.parseCatchUp(words)
	case sinceParam:
		if !strings.EqualFold(words.next(), "since") {
			return refuse("usage")
		}
		if c.unread = len(words.rest); words.peek() == "" {
			return refuse("usage")
		}
		c.since, refused = s.parseSince(words.next())
	case textParam:
		c.text, words.rest = oneLine(strings.Trim(words.rest, blanks)), ""
		if strings.Trim(c.text, blanks) == "" {
			return refuse("usage")
		}
	case nickParam:
		word := words.next()
		if words.peek() != "" && !s.namesRoom(c, *words) {
			word, words.rest = word+words.rest, "" // several words are not a nickname and a room
		}
		c.text, refused = parseNick(word)
	default:
		refused = s.parseOptional(c, p, words)
	}
	return refused
}

// parseCount parses a number of messages, least or more. A number that is out of range counts as matched: it
// cannot be another parameter either.
func (c *invocation) parseCount(words *wordReader, least int) (int, *refusal) {
	word := words.next()
	n, err := strconv.Atoi(word)
	switch {
	case err == nil && n >= least:
		return n, nil
	case err == nil || errors.Is(err, strconv.ErrRange):
		c.unread = len(words.rest)
		return 0, refuse("bad_number", "value", clip(word))
	}
	return 0, refuse("usage")
}

// usage returns the syntax of a command. In a message to the manager the room must be named.
func (s *Service) usage(c *command, manager bool) string {
	words := []string{s.config().StartChar + c.name}
	for _, p := range c.params {
		w := paramUsage[p]
		switch {
		case manager && p == roomBeforeText:
			w = "ROOM"
		case manager && w == "[ROOM]":
			w = "ROOM"
		}
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}

// usages returns the syntax of all forms of a command.
func (s *Service) usages(forms []*command, manager bool) string {
	var list []string
	for _, c := range forms {
		list = append(list, s.usage(c, manager))
	}
	return strings.Join(list, " or ")
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
