package imc

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"silod/limit"
	"silod/sip"
)

// A nickname is the name of a member in one room. It must not be taken for another member, for
// another user of this server or for the room, so lookalike compares names by their appearance.

// maxNick is the length of the longest nickname, in characters.
const maxNick = 32

// nickRate limits the changes of a member's nickname, each of which is a notice to all members.
var nickRate = limit.Rate{N: 1, Per: 2 * time.Minute}

// parseNick returns a nickname in the form in which it is stored and shown: one word of letters
// and digits of one script, with "-", "_" and "." between them. "-" alone removes the nickname.
func parseNick(word string) (string, *refusal) {
	if word == "-" {
		return "", nil
	}
	nick := norm.NFKC.String(clip(word))
	runes := []rune(nick)
	if len(word) > 4*maxNick || len(runes) > maxNick || !isWord(runes) || !isOneScript(runes) {
		return "", refuse("bad_nick", "value", printable(clip(word)), "limit", itoa(maxNick))
	}
	return nick, nil
}

// isWord reports whether characters are a word as parseNick describes it. Invisible characters,
// and more marks over a character than languages use, are refused.
func isWord(runes []rune) bool {
	marks := 0
	for i, c := range runes {
		switch {
		case unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return false
		case unicode.IsMark(c):
			marks++
			if i == 0 || marks > 2 {
				return false
			}
			continue
		case unicode.IsLetter(c) || unicode.IsDigit(c):
		case i == 0 || i == len(runes)-1 || !strings.ContainsRune("-_.", c):
			return false
		}
		marks = 0
	}
	return len(runes) > 0
}

// japanese and korean are the scripts that are written together.
var japanese, korean = []string{"Han", "Hiragana", "Katakana"}, []string{"Han", "Hangul"}

// isOneScript reports whether all letters are of one script, or of scripts that a language writes
// together: a Cyrillic letter among Latin ones is there to deceive.
func isOneScript(runes []rune) bool {
	var used []string
	for _, c := range runes {
		if !unicode.IsLetter(c) {
			continue
		}
		if name := scriptOf(c); name != "" && !slices.Contains(used, name) {
			used = append(used, name)
		}
	}
	within := func(set []string) bool {
		return !slices.ContainsFunc(used, func(name string) bool { return !slices.Contains(set, name) })
	}
	return len(used) <= 1 || within(japanese) || within(korean)
}

// scriptOf returns the script of a character, "" for one that is common to several.
func scriptOf(c rune) string {
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, c) {
			return name
		}
	}
	return ""
}

// lookalikes has characters that look like Latin ones, a pair to each, before and after
// conversion to lower case.
var lookalikes = strings.NewReplacer(
	"А", "a", "В", "b", "Е", "e", "К", "k", "М", "m", "Н", "h", "О", "o",
	"Р", "p", "С", "c", "Т", "t", "У", "y", "Х", "x", "Ѕ", "s", "І", "l", "Ј", "j",
	"Α", "a", "Β", "b", "Ε", "e", "Ζ", "z", "Η", "h", "Ι", "l", "Κ", "k", "Μ", "m", "Ν", "n",
	"Ο", "o", "Ρ", "p", "Τ", "t", "Υ", "y", "Χ", "x",
	"а", "a", "в", "b", "е", "e", "к", "k", "м", "m", "н", "h", "о", "o",
	"р", "p", "с", "c", "т", "t", "у", "y", "х", "x", "ѕ", "s", "і", "l", "ј", "j",
	"ԁ", "d", "ԛ", "q", "ԝ", "w", "һ", "h", "ӏ", "l", "г", "r", "п", "n", "и", "u",
	"α", "a", "β", "b", "ε", "e", "γ", "y", "η", "n", "ι", "l", "κ", "k", "μ", "u", "ν", "v",
	"ο", "o", "ρ", "p", "τ", "t", "υ", "u", "χ", "x", "ω", "w",
	"ı", "l", "ł", "l", "ø", "o", "đ", "d", "ħ", "h", "ß", "ss", "ɑ", "a", "ɡ", "g", "æ", "ae", "œ", "oe",
	"0", "o", "1", "l", "i", "l", "I", "l", "|", "l", "5", "s", "rn", "m", "vv", "w",
)

// lookalike returns a form of a name that is the same for names that look alike: without case,
// width, accents and punctuation.
func lookalike(name string) string {
	name = lookalikes.Replace(strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return c
		}
		return -1
	}, norm.NFKD.String(name)))
	return lookalikes.Replace(strings.ToLower(strings.ToUpper(name)))
}

// nick sets the caller's nickname in the room.
func (s *Service) nick(ctx context.Context, c *invocation, r *room) error {
	m := r.find(c.by.user)
	if m == nil || m.Nick == c.text {
		s.notifyCaller(c, r, "nothing_changed")
		return nil
	}
	if err := s.checkNick(ctx, r, m, c.text); err != nil {
		return err
	}
	if wait, ok, _ := s.nickChanges.Take(userRoom{m.User, r.name}, nickRate, s.now()); !ok {
		refused := refuse("nick_changed").in(r.name)
		refused.wait = wait
		return refused
	}
	next, user := r.memberCopy(m), displayName(m.User, r.name)
	notice := s.newNotice(c, r, "nick_gone", "user", user)
	if next.Nick = c.text; next.Nick != "" {
		notice = s.newNotice(c, r, "nick_set", "user", user, "nick", next.Nick)
	}
	return s.commit(ctx, r, Change{Room: r.Room, Put: []Member{next}, Notice: notice})
}

// checkNick checks that a nickname does not look like the name of another user, or of the room.
func (s *Service) checkNick(ctx context.Context, r *room, own *member, nick string) error {
	if nick == "" {
		return nil
	}
	taken := refuse("nick_taken", "nick", nick).in(r.name)
	form := lookalike(nick)
	reserved := []string{"owner", "admin", "operator", "system", r.name.User, s.config().Manager, s.text("operator", r.name)}
	if slices.ContainsFunc(reserved, func(name string) bool { return lookalike(name) == form }) {
		return taken
	}
	for _, m := range r.members {
		if m != own && (lookalike(m.User.PlainUser()) == form || m.Nick != "" && lookalike(m.Nick) == form) {
			return taken
		}
	}
	account, refused := s.parseUser(nick, r.name.Domain)
	if refused != nil {
		return taken
	}
	for _, a := range []sip.AoR{account, account.Lower()} {
		if a == own.User || a == own.User.Lower() || s.isUser == nil {
			continue
		}
		switch exists, err := s.isUser(ctx, a); {
		case err != nil:
			return err
		case exists:
			return taken
		}
	}
	return nil
}

// nicksLost returns the members whose nickname looks like the name of a user that joins, without
// the nickname: a user keeps its name. The caller holds stateMu.
func (r *room) nicksLost(joining []sip.AoR) []Member {
	if r.nicks.Load() == nil {
		return nil
	}
	names := map[string]sip.AoR{}
	for _, u := range joining {
		names[lookalike(u.PlainUser())] = u
	}
	var lost []Member
	for _, m := range r.members {
		if m.Nick == "" {
			continue
		}
		if u, found := names[lookalike(m.Nick)]; found && u != m.User {
			next := r.memberCopy(m)
			next.Nick = ""
			lost = append(lost, next)
		}
	}
	return lost
}

// setNicks collects the nicknames of the members.
func (r *room) setNicks() {
	var nicks map[sip.AoR]string
	for _, m := range r.members {
		if m.Nick != "" && m.joined() {
			if nicks == nil {
				nicks = map[sip.AoR]string{}
			}
			nicks[m.User] = m.Nick
		}
	}
	switch old := r.nicks.Load(); {
	case nicks == nil:
		r.nicks.Store(nil)
	case old == nil || !maps.Equal(*old, nicks):
		r.nicks.Store(&nicks)
	}
}

// called returns the name of a user before its messages: the nickname, or else the user as
// displayName returns it. It takes no lock.
func (r *room) called(u sip.AoR) string {
	if nicks := r.nicks.Load(); nicks != nil && (*nicks)[u] != "" {
		return (*nicks)[u]
	}
	return displayName(u, r.name)
}

// nicked returns the member with a nickname, nil if there is none.
func (r *room) nicked(word string) *member {
	if r.nicks.Load() == nil || word == "" {
		return nil
	}
	form := lookalike(word)
	for _, m := range r.members {
		if m.joined() && m.Nick != "" && lookalike(m.Nick) == form {
			return m
		}
	}
	return nil
}
