package sip

import (
	"errors"
	"strings"
)

// canonicalUser normalizes escapes: it decodes those of characters that need no escape, and
// writes the others with upper-case digits.
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

// unescape decodes all escapes. Its result is only for comparison.
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

// checkEscapes returns an error if two hexadecimal digits do not follow a '%'.
func checkEscapes(s string) error {
	for i := range len(s) {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return errors.New("bad escape in the user part")
		}
	}
	return nil
}

// isUserChar reports whether c is unreserved or user-unreserved: such a character means
// the same with and without an escape.
func isUserChar(c byte) bool {
	return isAlpha(c) || isDigit(c) || c != 0 && strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
}
