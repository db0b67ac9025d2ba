package db

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"silod/sip"
)

// A rowName is a user as a row has it, in two columns. Other programs write users in the
// spelling of a client or of a person: escaped or not, in any case, with another name of the
// domain or without a domain.
type rowName struct{ user, domain string }

// aor returns the AoR of the user in a row. Without Options.Domains it is the user as the row
// has it.
func (l *layout) aor(n rowName) sip.AoR {
	if l.domains == (sip.Domains{}) {
		return sip.AoR{User: n.user, Domain: n.domain}
	}
	return l.domains.Row(n.user, n.domain)
}

// name returns the user as silod writes it into columns of this width: as the AoR has it, or
// without escapes where it would not fit.
func (l *layout) name(a sip.AoR, user columnInfo) rowName {
	if !fits(user, a.User) {
		if n, same := l.decoded(a); same && fits(user, n.user) {
			return n
		}
	}
	return rowName{a.User, a.Domain}
}

// decoded returns the name of a user without escapes, and whether that still is the same user.
func (l *layout) decoded(a sip.AoR) (n rowName, same bool) {
	n = rowName{a.DecodedUser(), a.Domain}
	return n, l.aor(n) == a
}

// owner returns the name of a user as silod writes it into the table silo.
func (l *layout) owner(a sip.AoR) rowName {
	return l.name(a, l.messages.columns[l.messages.names.User])
}

// kamailioName returns the name of a user as Kamailio's usrloc writes it: without escapes.
func (l *layout) kamailioName(a sip.AoR) rowName {
	if strings.IndexByte(a.User, '%') >= 0 {
		if n, same := l.decoded(a); same && l.bindings.holds("username", n.user) {
			return n
		}
	}
	return rowName{a.User, a.Domain}
}

// uriFor returns a URI as silod writes it into a column: as it is, or without escapes where it
// would not fit.
func uriFor(c columnInfo, uri string) string {
	if fits(c, uri) {
		return uri
	}
	plain := sip.Unescape(uri)
	u, err := sip.ParseURI(uri)
	if v, perr := sip.ParseURI(plain); err == nil && perr == nil && fits(c, plain) && u.Equal(v) {
		return plain
	}
	return uri
}

// rowURI returns the URI in a column, in the characters of the grammar if it has others.
func rowURI(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return r >= 0x80 }) < 0 {
		return text
	}
	u, err := sip.ParseURI(text)
	if err != nil {
		return text
	}
	return u.Strict()
}

// member returns the name of a user as silod writes it into the tables of rooms.
func (l *layout) member(a sip.AoR) rowName { return l.name(a, userName) }

// room returns the AoR of the room that a row names. The names of rooms are in lower case.
func (l *layout) room(n rowName) sip.AoR { return l.aor(n).Lower() }

// roomOf is room for the URI of a room.
func (l *layout) roomOf(uri string) (sip.AoR, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	at := strings.LastIndexByte(rest, '@')
	if !ok || !strings.EqualFold(scheme, "sip") || at < 1 || at == len(rest)-1 {
		return sip.AoR{}, fmt.Errorf("%q is not the URI of a room", uri)
	}
	return l.room(rowName{rest[:at], rest[at+1:]}), nil
}

// spellingsOf returns the ways in which programs are likely to write the user of an AoR: as it
// is, without escapes as Kamailio does, and with the escapes of encodeURIComponent and of
// RFC 3986. They do not differ in case.
func spellingsOf(user string) []string {
	if !strings.ContainsFunc(user, func(r rune) bool { return !isUnreserved(r) }) {
		return []string{user}
	}
	plain := sip.Unescape(user)
	var out []string
	for _, s := range []string{user, plain, escaped(plain, "-_.!~*'()"), escaped(plain, "-_.~")} {
		out = append(out, s, lowerEscapes(s))
	}
	out = slices.DeleteFunc(out, func(s string) bool { return !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 })
	slices.Sort(out)
	return slices.Compact(out)
}

// Indexes of user names in lower case.
const (
	lowerUsersIndex   = "silod_subscriber_lower_idx"
	lowerAliasesIndex = "silod_dbaliases_lower_idx"
)

// anySpelling returns the condition that a column has one of the spellings of a user, in any
// case, with its arguments. Without the index of the column in lower case, and on an engine
// that does not ignore case, only the common ones are found: bob, Bob and BOB.
func (l *layout) anySpelling(column, user, index string) (string, []any) {
	list := spellingsOf(user)
	if l.lowerIndexes[index] {
		column = "lower(" + column + ")"
		for _, s := range list {
			list = append(list, strings.ToLower(s)) // as the engine does
		}
		for i, s := range list {
			list[i] = lowerASCII(s)
		}
	} else {
		for _, s := range list {
			if s != "" {
				list = append(list, strings.ToUpper(s[:1])+s[1:], strings.ToUpper(s))
			}
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return l.dialect.list(column, 1, anys(list))
}

// lowerASCII returns a text with the letters A to Z in lower case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r | 0x20
		}
		return r
	}, s)
}

// isUnreserved reports whether no program escapes a character (RFC 3986 section 2.3).
func isUnreserved(r rune) bool {
	return r < utf8.RuneSelf && (isAlphanumeric(byte(r)) || strings.ContainsRune("-_.~", r))
}

func isAlphanumeric(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' }

const hexDigits = "0123456789ABCDEF"

// escaped returns a text in which all characters but letters, digits and some others are
// escaped.
func escaped(s, others string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlphanumeric(c) || strings.IndexByte(others, c) >= 0 {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// lowerEscapes writes the digits of escapes in lower case.
func lowerEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			b.WriteString(strings.ToLower(s[i : i+3]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
