package main

import (
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// Text from the network is printed on a terminal. Control characters, which could move the cursor or
// worse, marks that change the direction of writing, and characters that cannot be seen are replaced.

// clean returns text from the network as one harmless line.
func clean(s string) string { return strings.Map(visible, s) }

// cleanLines is clean for several lines.
func cleanLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return visible(r)
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// visible returns a character that cannot control a terminal or be overlooked: r itself, a space or
// U+FFFD. Joiners and variation selectors remain, of which emoji and several scripts consist.
func visible(r rune) rune {
	const zwnj, zwj, emptyBraille = '\u200c', '\u200d', '\u2800'
	switch {
	case r < 0x7f && r >= ' ', r == zwnj, r == zwj:
		return r
	case r == '\n' || r == '\r' || r == '\t', unicode.In(r, unicode.Zs, unicode.Zl, unicode.Zp):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point), r == emptyBraille:
		return unicode.ReplacementChar
	}
	return r
}

// fit cuts a text to a number of columns, with an ellipsis.
func fit(s string, columns int) string { return runewidth.Truncate(s, columns, "…") }

// columnsOf returns the width of a text on a terminal, where 日 takes two columns.
func columnsOf(s string) int { return runewidth.StringWidth(s) }

// pad adds spaces up to a number of columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-columnsOf(s)))
}

// localTime returns the local time of a time in the form of RFC 3339. It returns other text as it is.
func localTime(s string) string {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[10] != 'T' {
		return s
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return s
	}
	return t.Local().Format(time.DateTime)
}
