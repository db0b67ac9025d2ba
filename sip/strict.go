package sip

import "strings"

// The functions of this file write URIs in the characters of the grammar of RFC 3261 section
// 25.1. Senders write others, such as a letter with an accent or a '#' in the user part, and
// many parsers refuse these.

// Strict returns the URI as text in which every character is escaped that the grammar does not
// allow at its place. The URIs are equal (RFC 3261 section 19.1.4).
func (u URI) Strict() string { return u.strict().String() }

// strict returns the URI of which Strict returns the text.
func (u URI) strict() URI {
	v := URI{Scheme: u.Scheme, Host: u.Host, Port: u.Port}
	if !u.IsSIP() {
		at := atOf(u.Opaque)
		v.Opaque = opaqueChars.escape(u.Opaque[:at]) + fragmentChars.escape(u.Opaque[at:])
		return v
	}
	v.User, v.Pass, v.Header = userPartChars.escape(u.User), passChars.escape(u.Pass), uriHeaderChars.escape(u.Header)
	v.Params = make(Params, len(u.Params))
	for i, p := range u.Params {
		p.Name, p.Value = uriParamChars.escape(p.Name), uriParamChars.escape(p.Value)
		p.HasValue = p.Value != ""
		v.Params[i] = p
	}
	return v
}

// isStrict reports whether all characters of the URI are allowed at their places.
func (u *URI) isStrict() bool {
	if !u.IsSIP() {
		at := atOf(u.Opaque)
		return opaqueChars.allow(u.Opaque[:at]) && fragmentChars.allow(u.Opaque[at:])
	}
	for i := range u.Params {
		p := &u.Params[i]
		if !uriParamChars.allow(p.Name) || !uriParamChars.allow(p.Value) || p.HasValue && p.Value == "" {
			return false
		}
	}
	return userPartChars.allow(u.User) && passChars.allow(u.Pass) && uriHeaderChars.allow(u.Header)
}

// atOf returns the place of the first '@', or the length of s.
func atOf(s string) int {
	if i := strings.IndexByte(s, '@'); i >= 0 {
		return i
	}
	return len(s)
}

// StrictParty returns the value of a From or To header field with a URI that is Strict. All else
// remains, and so does a value that ParseNameAddr does not accept.
func StrictParty(value string) string {
	if lt, gt := strings.IndexByte(value, '<'), strings.LastIndexByte(value, '>'); lt >= 0 && lt < gt && IsPlainURI(value[lt+1:gt]) {
		return value
	}
	if a, err := ParseNameAddr(value); err == nil {
		return a.sentOn(value)
	}
	return value
}

// sentOn returns the value of a From or To header field, of which a was parsed, as it is sent
// on: as it is, if it is well-formed. Otherwise its URI is Strict, and the rest is corrected if
// that is necessary.
func (a *NameAddr) sentOn(received string) string {
	strict := a.URI.isStrict()
	switch {
	case a.Mended && strict:
		return a.String()
	case a.Mended:
		b := *a
		b.URI = a.URI.strict()
		return b.String()
	case strict:
		return received
	}
	start, end := uriSpan(received)
	return received[:start] + a.URI.Strict() + received[end:]
}

// uriSpan returns the place of the URI in a value that ParseNameAddr has accepted.
func uriSpan(s string) (start, end int) {
	start = len(s) - len(trimLeft(s))
	if strings.HasPrefix(s[start:], `"`) {
		_, rest, _ := parseQuoted(s[start:])
		start = len(s) - len(rest)
	}
	if i := strings.IndexAny(s[start:], "<,;"); i >= 0 && s[start+i] == '<' {
		start += i + 1
		return start, start + strings.IndexByte(s[start:], '>')
	}
	if n := strings.IndexAny(s[start:], ";, \t"); n >= 0 {
		return start, start + n
	}
	return start, len(s)
}

// A uriPart is the characters that may stand plain in a part of a URI.
type uriPart [256]bool

// The parts of URIs. Opaque text may have the brackets of an IPv6 address (RFC 3986 section
// 3.2.2), and what would have another meaning if it were escaped: a '%' that begins no escape,
// and behind a host the '#' of a fragment.
var (
	userPartChars  = uriPartOf("&=+$,;?/")
	passChars      = uriPartOf("&=+$,")
	uriHeaderChars = uriPartOf("[]/?:+$=&")
	uriParamChars  = uriPartOf("[]/:&+$")
	opaqueChars    = uriPartOf(";/?:@&=+$,[]%")
	fragmentChars  = uriPartOf(";/?:@&=+$,[]%#")
)

// uriPartOf returns the part in which the unreserved characters and others may stand plain.
func uriPartOf(others string) *uriPart {
	t := uriPart(charTable(func(c byte) bool {
		return isAlpha(c) || isDigit(c) || strings.IndexByte("-_.!~*'()", c) >= 0 || strings.IndexByte(others, c) >= 0
	}))
	return &t
}

// allow reports whether s consists of allowed characters and escapes.
func (p *uriPart) allow(s string) bool { return p.prefix(s) == len(s) }

// prefix returns the length of the longest prefix of s that p allows.
func (p *uriPart) prefix(s string) int {
	for i := range len(s) {
		if !p[s[i]] && !isEscape(s[i:]) {
			return i
		}
	}
	return len(s)
}

// escape escapes all characters of s that p does not allow. Escapes remain.
func (p *uriPart) escape(s string) string {
	i := p.prefix(s)
	if i == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:i]...)
	for ; i < len(s); i++ {
		if c := s[i]; p[c] || isEscape(s[i:]) {
			b = append(b, c)
		} else {
			b = appendEscape(b, c)
		}
	}
	return string(b)
}

// IsPlainURI reports whether a URI that ParseURI accepts surely is as the grammar requires:
// without escapes, passwords, IPv6 addresses, headers, and other parts that are rare.
func IsPlainURI(uri string) bool {
	colons, equals := 0, 0
	for i := range len(uri) {
		switch uriClass[uri[i]] {
		case inAllParts:
			continue
		case rare:
			return false
		}
		switch uri[i] {
		case '@':
			if colons > 1 { // a password, in which less is allowed
				return false
			}
			colons = 0
		case ';':
			equals = 0
		case ':':
			colons++
		case '=':
			equals++
		}
		// A value may end in "==", as base64 does, or be missing.
		if colons > 2 || equals > 1 || uri[i] == ';' && (i == 0 || uri[i-1] == '=') {
			return false
		}
	}
	return !strings.HasSuffix(uri, "=")
}

// The classes of characters in a URI.
const (
	rare       = iota // not allowed everywhere
	inAllParts        // allowed everywhere
	separator
)

var uriClass = func() (t [256]uint8) {
	for c := range t {
		switch {
		case isAlpha(byte(c)), isDigit(byte(c)), strings.IndexByte("-_.!~*'()+$&", byte(c)) >= 0:
			t[c] = inAllParts
		case strings.IndexByte("@:;=", byte(c)) >= 0:
			t[c] = separator
		}
	}
	return t
}()
