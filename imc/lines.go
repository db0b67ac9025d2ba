package imc

import (
	"bytes"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"silod/im"
)

// furtherLine begins each line but the first one of a member's text, so that it cannot be
// read as the line of another member. A line that begins so already is not changed: the text
// of another room looks the same when it is repeated.
const furtherLine = "| "

// maxBlanks is the width of the widest gap in a line. On the display of a phone a wider one
// breaks the line.
const maxBlanks = 32

// A charset is a kind of charsets that have ASCII in them.
type charset int

const (
	inUTF8    charset = iota
	inLatin           // one byte for each character, control characters as in ISO 8859
	inWindows         // one byte for each character
	inKOI8            // the same
	inOther
)

// charsetOf returns the kind of a charset, which is given in lower case.
func charsetOf(name string) charset {
	switch {
	case im.IsUTF8(name):
		return inUTF8
	case strings.HasPrefix(name, "iso") || strings.HasPrefix(name, "latin"):
		return inLatin
	case strings.HasPrefix(name, "windows-125"), strings.HasPrefix(name, "cp125"):
		return inWindows
	case strings.HasPrefix(name, "koi8-"):
		return inKOI8
	}
	return inOther
}

// rune returns the character of a byte that is not ASCII, as far as oneBlock must know it.
func (set charset) rune(c byte) rune {
	const noBreakSpace = 0xa0
	switch {
	case set == inLatin, set == inWindows && c == noBreakSpace:
		return rune(c)
	case set == inKOI8 && c == 0x9a:
		return noBreakSpace
	}
	return utf8.RuneError // or a part of a character
}

// oneBlock returns a text, in UTF-8 or in another charset that has ASCII in it, in a form in
// which all its lines belong together: each line but the first one begins with furtherLine. It
// removes the characters by which a text could look like another one: those that move the cursor
// of a terminal, those that change the direction of the text around them, and wide gaps. The
// result shares memory with a text that needs no change.
func oneBlock(text []byte, set charset) []byte {
	end := len(text)
	for end > 0 && (text[end-1] == '\n' || text[end-1] == '\r') {
		end--
	}
	if strings.Count(string(text[end:]), "\r") != strings.Count(string(text[end:]), "\r\n") {
		return append(slices.Clip(oneBlock(text[:end], set)), '\n') // only CR LF and LF end lines
	}
	if isOneLine(text[:end]) {
		return text
	}
	w := blockWriter{out: make([]byte, 0, len(text)+32)}
	for rest := text[:end]; len(rest) > 0; {
		r, size := rune(rest[0]), 1
		switch {
		case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
			w.out = append(w.out, '\r')
			r, size = '\n', 2
		case r >= utf8.RuneSelf && set == inUTF8:
			if r, size = utf8.DecodeRune(rest); r == utf8.RuneError && rest[0] < 0xa0 {
				r = rune(rest[0]) // a control character, if the phone takes the text for another charset
			}
		case r >= utf8.RuneSelf:
			r = set.rune(rest[0])
		}
		w.write(r, rest[:size])
		rest = rest[size:]
		if w.newLine && !bytes.HasPrefix(rest, []byte(furtherLine)) {
			w.out = append(w.out, furtherLine...)
		}
	}
	return append(w.out, text[end:]...)
}

// isOneLine reports whether oneBlock need not look further at a text.
func isOneLine(text []byte) bool {
	blanks := 0
	for _, c := range text {
		switch {
		case c == ' ' || c == '\t':
			if blanks++; blanks > maxBlanks/tabWidth {
				return false
			}
		case c < ' ' && c != 0 || c >= 0x7f:
			return false
		default:
			blanks = 0
		}
	}
	return true
}

const tabWidth = 8

// A blockWriter writes the characters of oneBlock.
type blockWriter struct {
	out     []byte
	gap     int  // the width of the blanks since the last other character
	newLine bool // the last character was the end of a line
}

// write writes a character that is raw in the text.
func (w *blockWriter) write(r rune, raw []byte) {
	w.newLine = false
	switch {
	case r == '\n', r == '\r', r == '\v', r == '\f', r == 0x85, r == 0x2028, r == 0x2029:
		w.out = append(w.out, '\n')
		w.newLine, w.gap = true, 0
	case isBlank(r):
		if r == '\t' {
			w.gap += tabWidth - 1
		}
		if w.gap++; w.gap <= maxBlanks {
			w.out = append(w.out, raw...)
		}
	case r != 0 && unicode.IsControl(r):
		w.out = append(w.out, ' ')
	case changesDirection(r):
	case unicode.Is(unicode.Cf, r): // has no width
		w.out = append(w.out, raw...)
	default:
		w.out = append(w.out, raw...)
		w.gap = 0
	}
}

// changesDirection reports whether a character changes the direction of the text after it. The
// marks of a direction, which many scripts need, do not.
func changesDirection(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// isBlank reports whether a character shows nothing but takes space.
func isBlank(r rune) bool {
	switch r {
	case 0x2800, 0x3164, 0x115f, 0x1160, 0xffa0:
		return true
	}
	return unicode.IsSpace(r)
}

// blockText is oneBlock for a text that may have bytes that are not UTF-8.
func blockText(text string) string {
	return string(oneBlock([]byte(strings.ToValidUTF8(text, "?")), inUTF8))
}

// oneLine returns a text of a user, such as a topic, as a part of a line.
func oneLine(text string) string { return blockText(printable(text)) }
