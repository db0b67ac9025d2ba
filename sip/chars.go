package sip

import (
	"errors"
	"strconv"
	"strings"
)

// canonicalUser normalises escapes: it decodes those of characters that need no escape,
// and writes the others with upper-case digits.
func canonicalUser(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		c := unhex(s[i+1])<<4 | unhex(s[i+2])
		i += 2
		if isUserChar(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unescape decodes all escapes. Its result is for comparison only.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]) {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// checkEscapes returns an error for a '%' without two hexadecimal digits after it.
func checkEscapes(s string) error {
	for i := range len(s) {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return errors.New("bad escape in the user part")
		}
	}
	return nil
}

// tokenLen returns the length of the token at the start of s.
func tokenLen(s string) int {
	n := 0
	for n < len(s) && tokenChars[s[n]] {
		n++
	}
	return n
}

// IsToken reports whether s is a non-empty token (RFC 3261 section 25.1).
func IsToken(s string) bool { return s != "" && tokenLen(s) == len(s) }

func isToken(c byte) bool { return tokenChars[c] }

// The characters of tokens, URIs and host names. They are tables because all parsing of
// messages uses them.
var (
	tokenChars = charTable(func(c byte) bool { return isAlpha(c) || isDigit(c) || strings.IndexByte("-.!%*_+`'~", c) >= 0 })
	uriChars   = charTable(func(c byte) bool { return c > ' ' && c != 0x7f && c != '<' && c != '>' && c != '"' })
	hostChars  = charTable(func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '.' || c == '-' || c == '_' })
)

func charTable(in func(byte) bool) (t [256]bool) {
	for i := range t {
		t[i] = in(byte(i))
	}
	return t
}

// isUserChar reports whether c is unreserved or user-unreserved: such a character means
// the same with and without an escape.
func isUserChar(c byte) bool {
	return isAlpha(c) || isDigit(c) || c != 0 && strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// trimLeft removes leading spaces and tabs.
func trimLeft(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// lower is strings.ToLower for ASCII. It allocates only if s has upper-case letters.
func lower(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for j := range b {
				if b[j] >= 'A' && b[j] <= 'Z' {
					b[j] |= 0x20
				}
			}
			return string(b)
		}
	}
	return s
}

// quote quotes a received string for an error, shortened if it is long.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strconv.Quote(s)
}
