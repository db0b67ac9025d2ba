package sip

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// appendEscape appends the escape of a character.
func appendEscape(b []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(b, '%', digits[c>>4], digits[c&15])
}

// canonicalUser returns the form of a user part that all its spellings share: an escape of a
// character that may stand plain becomes that character, and every other character becomes an
// escape, also if a sender wrote it plain (RFC 3261 section 19.1.4). A '%' that begins no
// escape stands for itself. With fold, the user is in lower case (ASCII, as in Kamailio).
func canonicalUser(s string, fold bool) string {
	i := 0
	for i < len(s) && userChars[s[i]] && (!fold || !isUpper(s[i])) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := make([]byte, i, len(s)+16)
	copy(b, s)
	for ; i < len(s); i++ {
		c := s[i]
		if isEscape(s[i:]) {
			c = unhex(s[i+1])<<4 | unhex(s[i+2])
			i += 2
		}
		switch {
		case fold && isUpper(c):
			b = append(b, c|0x20)
		case userChars[c]:
			b = append(b, c)
		default:
			b = appendEscape(b, c)
		}
	}
	return string(b)
}

// lowerUser returns a user part with the letters A to Z, but for those of escapes, in lower case.
func lowerUser(s string) string {
	i := 0
	for i < len(s) && s[i] != '%' && !isUpper(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		switch {
		case isEscape(s[i:]):
			i += 2
		case isUpper(b[i]):
			b[i] |= 0x20
		}
	}
	return string(b)
}

// plainUser returns a canonical user part as people write it. An escape remains where the
// character cannot be seen, or would not be read as a part of the user.
func plainUser(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	raw := Unescape(s)
	b := make([]byte, 0, len(s))
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		if isPlain(r, n) && (r != ' ' || i > 0 && i+n < len(raw)) {
			b = append(b, raw[i:i+n]...)
		} else {
			for _, c := range []byte(raw[i : i+n]) {
				b = appendEscape(b, c)
			}
		}
		i += n
	}
	return string(b)
}

// isPlain reports whether a rune of n bytes is shown as it is: it is visible, and neither a
// delimiter of an address nor a bracket, in which rooms show names.
func isPlain(r rune, n int) bool {
	return (r != utf8.RuneError || n > 1) && unicode.IsPrint(r) && !strings.ContainsRune(`%@:"<>[]`, r) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) && r != '\u2800' // an empty Braille pattern
}

// Unescape decodes all escapes. Its result is no part of a URI, and may contain any bytes.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if isEscape(s[i:]) {
			b.WriteByte(unhex(s[i+1])<<4 | unhex(s[i+2]))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isEscape reports whether s begins with an escape: '%' and two hexadecimal digits.
func isEscape(s string) bool { return len(s) > 2 && s[0] == '%' && isHex(s[1]) && isHex(s[2]) }

// checkEscapes returns an error if two hexadecimal digits do not follow a '%'.
func checkEscapes(s string) error {
	for i := range len(s) {
		if s[i] == '%' && !isEscape(s[i:]) {
			return errors.New("bad escape in the user part")
		}
	}
	return nil
}

// userChars are the characters that are unreserved or user-unreserved: such a character means
// the same with and without an escape.
var userChars = charTable(func(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
})
