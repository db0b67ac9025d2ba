package config

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// A Pattern is a regular expression (RE2).
type Pattern struct{ *regexp.Regexp }

// UnmarshalText compiles the expression.
func (p *Pattern) UnmarshalText(b []byte) error {
	re, err := regexp.Compile(string(b))
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	p.Regexp = re
	return nil
}

func (p *Pattern) text() string { return p.String() }

func (p *Pattern) expects() string { return `a regular expression (RE2) such as "^chat-[0-9]+$"` }

// A Zone is a time zone.
type Zone struct {
	*time.Location
	name string
}

// UnmarshalText looks up a zone: "local", "UTC" or a name such as "Europe/Rome".
func (z *Zone) UnmarshalText(b []byte) error {
	z.name = string(b)
	if strings.EqualFold(z.name, "local") {
		z.Location = time.Local
		return nil
	}
	if z.name == "" {
		return fmt.Errorf("it is empty")
	}
	loc, err := time.LoadLocation(z.name)
	if err != nil {
		return fmt.Errorf("look up: %w", err)
	}
	z.Location = loc
	return nil
}

func (z *Zone) text() string { return z.name }

func (z *Zone) expects() string { return `"local", "UTC" or a time zone such as "Europe/Rome"` }

// A DateFormat is a format for dates with the conversions of strftime.
type DateFormat struct{ format string }

// conversions maps the conversions of strftime that DateFormat supports to layouts of
// package time.
var conversions = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'd': "02", 'e': "_2", 'H': "15", 'I': "03",
	'j': "002", 'm': "01", 'M': "04", 'p': "PM", 'S': "05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST",
	'c': "Mon Jan _2 15:04:05 2006", 'D': "01/02/06", 'F': "2006-01-02", 'R': "15:04", 'T': "15:04:05",
}

// UnmarshalText checks that all conversions are supported.
func (f *DateFormat) UnmarshalText(b []byte) error {
	f.format = string(b)
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] < ' ' || b[i] == 0x7f:
			return fmt.Errorf("control characters are not allowed")
		case b[i] != '%':
			continue
		case i+1 == len(b):
			return fmt.Errorf("a %% is at the end; write %%%% for a percent sign")
		}
		i++
		if _, ok := conversions[b[i]]; !ok && b[i] != '%' {
			return fmt.Errorf("%%%c is not supported", b[i])
		}
	}
	return nil
}

// Format returns t in the format and in t's time zone.
func (f DateFormat) Format(t time.Time) string {
	var out strings.Builder
	for i := 0; i < len(f.format); i++ {
		if f.format[i] != '%' {
			out.WriteByte(f.format[i])
			continue
		}
		i++
		if layout, ok := conversions[f.format[i]]; ok {
			out.WriteString(t.Format(layout))
		} else {
			out.WriteByte('%')
		}
	}
	return out.String()
}

func (f *DateFormat) text() string { return f.format }

func (f *DateFormat) expects() string {
	return `a date such as "%Y-%m-%d %H:%M" (conversions of strftime)`
}
