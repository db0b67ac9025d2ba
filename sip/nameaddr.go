package sip

import (
	"errors"
	"fmt"
	"strings"
)

// A NameAddr is the value of a From, To, Contact, Route or similar header: a URI with an
// optional display name and header parameters (RFC 3261 section 20.10).
type NameAddr struct {
	Name   string // display name without quotes; "" if missing
	URI    URI
	Params Params
	Star   bool // "Contact: *"
	Mended bool // the value was not well-formed; String returns a corrected one
}

// ParseNameAddr parses one value. Text after it is an error.
func ParseNameAddr(s string) (NameAddr, error) {
	a, rest, err := parseOne(s)
	switch {
	case err != nil:
		return NameAddr{}, err
	case rest != "":
		return NameAddr{}, fmt.Errorf("one address expected, %s follows", quote(rest))
	}
	return a, nil
}

// ParseList parses the comma-separated values of one header field, at least one. Some clients
// write an empty one, which is ignored.
func ParseList(s string) ([]NameAddr, error) {
	var list []NameAddr
	for {
		switch s = trimLeft(s); {
		case s == "" && len(list) > 0:
			return list, nil
		case s != "" && s[0] == ',':
			s = s[1:]
			continue
		}
		a, rest, err := parseOne(s)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
		if rest == "" {
			return list, nil
		}
		s = rest[1:] // after the comma
	}
}

// parseOne parses one value. It returns the text after it, which is empty or starts with a
// comma.
func parseOne(s string) (NameAddr, string, error) {
	var a NameAddr
	s = trimLeft(s)
	if s == "" {
		return a, "", errors.New("empty address")
	}
	var err error
	if s[0] == '*' && (trimLeft(s[1:]) == "" || trimLeft(s[1:])[0] == ';') {
		a.Star = true
		a.Params, err = ParseParams(s[1:])
		return a, "", err
	}
	switch {
	case s[0] == '"':
		if a.Name, s, err = parseQuoted(s); err != nil {
			return a, "", err
		}
		if s = trimLeft(s); !strings.HasPrefix(s, "<") {
			return a, "", errors.New("no <URI> behind the display name")
		}
	case s[0] != '<':
		lt := strings.IndexAny(s, "<,;") // not beyond this value of a list
		if lt < 0 || s[lt] != '<' {
			return addrSpec(s)
		}
		// An unquoted display name is tokens (RFC 4475 section 3.1.2.15).
		a.Name = strings.TrimRight(s[:lt], " \t")
		a.Mended = strings.ContainsFunc(a.Name, func(r rune) bool { return r < 0x80 && r != ' ' && r != '\t' && !isToken(byte(r)) })
		if a.Mended && !isDisplayText(a.Name) {
			return a, "", fmt.Errorf("display name %s must be quoted", quote(a.Name))
		}
		s = s[lt:]
	}
	gt := strings.IndexByte(s, '>')
	if gt < 0 {
		return a, "", errors.New("no '>' behind the URI")
	}
	if a.URI, err = ParseURI(s[1:gt]); err != nil {
		u, merr := ParseURI(mendURI(trim(s[1:gt])))
		if merr != nil {
			return a, "", err
		}
		a.URI, a.Mended = u, true
	}
	var tidy bool
	a.Params, s, tidy, err = parseParams(s[gt+1:])
	a.Mended = a.Mended || !tidy
	return a, s, err
}

// addrSpec parses a URI without angle brackets. Parameters after it are header parameters,
// and the URI must not contain a question mark (RFC 3261 section 20.10).
func addrSpec(s string) (NameAddr, string, error) {
	n := strings.IndexAny(s, ";, \t")
	if n < 0 {
		n = len(s)
	}
	if strings.Contains(s[:n], "?") {
		return NameAddr{}, "", fmt.Errorf("URI %s must be in angle brackets", quote(s[:n]))
	}
	u, err := ParseURI(s[:n])
	if err != nil {
		return NameAddr{}, "", err
	}
	ps, rest, tidy, err := parseParams(s[n:])
	return NameAddr{URI: u, Params: ps, Mended: !tidy}, rest, err
}

// Tag returns the tag parameter (RFC 3261 section 19.3), or "".
func (a NameAddr) Tag() string {
	t, _ := a.Params.Get("tag")
	return t
}

// String returns the value, with the URI in angle brackets.
func (a NameAddr) String() string {
	if a.Star {
		return "*"
	}
	b := make([]byte, 0, 128)
	if a.Name != "" {
		b = append(append(b, Quote(a.Name)...), ' ')
	}
	b = append(b, '<')
	b = a.URI.appendTo(b)
	b = append(b, '>')
	return string(a.Params.appendTo(b))
}
