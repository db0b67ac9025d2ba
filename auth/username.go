package auth

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"silod/sip"
)

// A candidate is a user that the name in the credentials may mean.
type candidate struct {
	user       sip.AoR
	withDomain bool // the name has one, so that HA1B counts
}

// appendCandidates appends the users that a name may mean: one, or two if the name is not in
// UTF-8. A name without a domain of ours is in the given one, also if it has an at-sign. There are
// none if the user name contains a colon, which separates it from the realm in the hash.
func appendCandidates(list []candidate, domains sip.Domains, name, domain string) []candidate {
	if strings.Contains(name, ":") {
		return list
	}
	list = appendCandidate(list, domains, name, domain)
	if !utf8.ValidString(name) {
		list = appendCandidate(list, domains, fromLatin1(name), domain)
	}
	return list
}

func appendCandidate(list []candidate, domains sip.Domains, name, domain string) []candidate {
	c := candidate{}
	if at := strings.LastIndexByte(name, '@'); at >= 0 && domains.Has(name[at+1:]) {
		name, domain, c.withDomain = name[:at], name[at+1:], true
	}
	if !domains.Has(domain) {
		return list
	}
	if c.user = domains.Row(name, domain); strings.TrimSpace(c.user.DecodedUser()) == "" {
		return list
	}
	return append(list, c)
}

// writtenName returns the user name of an AoR as its user writes it in a phone: without escapes.
func writtenName(user sip.AoR) string {
	name := user.DecodedUser()
	if !isText(name) || strings.Contains(name, ":") {
		return user.User
	}
	return name
}

// isText reports whether a text is UTF-8 without control characters.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// A hashable is a user name and a password as a client may have hashed them.
type hashable struct{ name, password string }

// appendSpellings appends the forms in which clients hash a user name and a password: the name as
// it is between the quotes, or without the escapes of a quoted string; and if it is not in UTF-8,
// the password in the same characters. Their number depends on the name alone.
func appendSpellings(list []hashable, name, password string) []hashable {
	list = append(list, hashable{name, password})
	if plain := unescape(name); plain != name {
		list = append(list, hashable{plain, password})
	}
	if !utf8.ValidString(name) {
		for _, h := range list {
			list = append(list, hashable{h.name, toLatin1(password)})
		}
	}
	return list
}

// unescape removes the backslashes of the quoted pairs in a quoted string (RFC 3261 section
// 25.1).
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// fromLatin1 returns the UTF-8 of a text in ISO 8859-1, the character set of HTTP and of old
// clients.
func fromLatin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// toLatin1 returns a text in ISO 8859-1, or unchanged if that is not possible.
func toLatin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return s
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// parseExtended decodes the value of username* (RFC 7616 section 3.4, RFC 8187 section 3.2.1).
func parseExtended(value string) (string, error) {
	charset, rest, ok1 := strings.Cut(value, "'")
	_, encoded, ok2 := strings.Cut(rest, "'")
	if !ok1 || !ok2 || !strings.EqualFold(charset, "UTF-8") {
		return "", errors.New("username*: expected UTF-8''NAME")
	}
	name, err := url.PathUnescape(encoded)
	if err != nil || !isText(name) {
		return "", errors.New("username*: not text in UTF-8 with escapes")
	}
	return name, nil
}
