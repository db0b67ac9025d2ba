package main

import (
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// What others wrote is shown on somebody's terminal: control characters, which
// could move its cursor or worse, and marks that turn the direction of writing
// are replaced.

// clean makes one line of foreign text.
func clean(s string) string { return strings.Map(visible, s) }

// cleanLines lets line breaks through.
func cleanLines(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return visible(r)
	}, strings.ReplaceAll(s, "\r\n", "\n"))
}

// visible maps one character of foreign text to one that stays where it is put.
func visible(r rune) rune {
	switch {
	case r == '\n' || r == '\r' || r == '\t':
		return ' '
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return unicode.ReplacementChar
	}
	return r
}

// fit cuts a text to a number of columns, and says so.
func fit(s string, columns int) string { return runewidth.Truncate(s, columns, "…") }

// columnsOf is how wide a text is on a terminal, where 日 takes two columns.
func columnsOf(s string) int { return runewidth.StringWidth(s) }

// pad fills a text up to a number of columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-columnsOf(s)))
}

// localTime shows a time that the daemon writes for programs, RFC 3339, as people
// here write it. Other text stays as it is.
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
