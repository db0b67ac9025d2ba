package sip

import (
	"strconv"
	"strings"
)

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

// The characters of tokens, URIs, host names, and of method and header names. They are
// tables for speed.
var (
	tokenChars = charTable(func(c byte) bool { return isAlpha(c) || isDigit(c) || strings.IndexByte("-.!%*_+`'~", c) >= 0 })
	uriChars   = charTable(func(c byte) bool { return c > ' ' && c != 0x7f && c != '<' && c != '>' && c != '"' })
	hostChars  = charTable(func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '.' || c == '-' || c == '_' })

	// paramNameChars are the characters of parameter names in header fields.
	paramNameChars = charTable(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(`;,="<>`, c) < 0 })

	// nameChars are the characters of method and header names: those of tokens and, because
	// some clients use them, all other visible characters that are not separators.
	nameChars = charTable(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte(`()<>@,;:\"/[]?={}`, c) < 0 })
)

func charTable(in func(byte) bool) (t [256]bool) {
	for i := range t {
		t[i] = in(byte(i))
	}
	return t
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isUpper(c byte) bool { return c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// IsName reports whether the parser accepts s as the name of a method or header field.
func IsName(s string) bool {
	for i := range len(s) {
		if !nameChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// cutSpace cuts s around the first run of spaces and tabs.
func cutSpace(s string) (before, after string, ok bool) {
	for i := range len(s) {
		if isBlank(s[i]) {
			return s[:i], trimLeft(s[i:]), true
		}
	}
	return s, "", false
}

// trim removes leading and trailing spaces and tabs.
func trim(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return trimLeft(s)
}

// trimLeft removes leading spaces and tabs.
func trimLeft(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// lower is strings.ToLower for ASCII. It allocates only if s contains upper-case letters.
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

// quote quotes a received string for an error, and shortens it if it is long.
func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "..."
	}
	return strconv.Quote(s)
}
