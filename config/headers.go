package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"silod/sip"
)

// Headers are header fields in the form of Kamailio's parameters: "Name: value\r\n" for
// each.
type Headers struct {
	raw  string
	list []sip.Header
}

// UnmarshalText parses the fields. The last \r\n may be missing.
func (h *Headers) UnmarshalText(b []byte) error {
	list, err := splitHeaders(string(b))
	*h = Headers{string(b), list}
	return err
}

// List returns the fields in order.
func (h Headers) List() []sip.Header { return slices.Clone(h.list) }

func (h *Headers) text() string { return h.raw }

func (h *Headers) expects() string { return headersExpected }

// A HeaderTemplate is header fields whose values may contain pseudo-variables.
type HeaderTemplate struct {
	raw    string
	names  []string
	values []Template
}

// UnmarshalText parses the fields as Headers does, and the variables in their values.
func (h *HeaderTemplate) UnmarshalText(b []byte) error {
	*h = HeaderTemplate{raw: string(b)}
	list, err := splitHeaders(h.raw)
	if err != nil {
		return err
	}
	for _, f := range list {
		t, err := ParseTemplate(f.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		h.names, h.values = append(h.names, f.Name), append(h.values, t)
	}
	return nil
}

// Expand returns the fields with their variables replaced, as Template.Expand does. Line
// breaks and control characters in values become spaces, so that a request cannot add
// fields of its own to a message that silod sends. Empty fields are left out.
func (h HeaderTemplate) Expand(value func(name, arg string) string) []sip.Header {
	var list []sip.Header
	for i, t := range h.values {
		if v := strings.TrimSpace(strings.Map(printable, t.Expand(value))); v != "" {
			list = append(list, sip.Header{Name: h.names[i], Value: v})
		}
	}
	return list
}

func printable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return ' '
	}
	return r
}

func (h *HeaderTemplate) text() string { return h.raw }

func (h *HeaderTemplate) expects() string { return headersExpected }

const headersExpected = `header fields such as "X-Name: value\r\n"`

// reserved are the fields that silod sets itself in the messages that it sends.
var reserved = []string{
	"via", "v", "from", "f", "to", "t", "call-id", "i", "cseq", "max-forwards", "route", "record-route",
	"content-length", "l",
}

// splitHeaders parses header fields, one a line.
func splitHeaders(s string) ([]sip.Header, error) {
	if strings.Contains(s, `\r`) || strings.Contains(s, `\n`) {
		return nil, errors.New(`the line break is written with a backslash: use double quotes, in which \r\n is one`)
	}
	var list []sip.Header
	for line := range strings.SplitSeq(strings.TrimRight(s, "\r\n"), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if s == "" || line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t")
		switch {
		case !ok || !isToken(name):
			return nil, fmt.Errorf("%q is not a header field", line)
		case slices.Contains(reserved, strings.ToLower(name)):
			return nil, fmt.Errorf("%s is set by silod itself", name)
		case strings.ContainsFunc(value, func(r rune) bool { return printable(r) != r }):
			return nil, fmt.Errorf("%s contains control characters", name)
		}
		list = append(list, sip.Header{Name: name, Value: value})
	}
	return list, nil
}

// isToken reports whether s is a token of RFC 3261 section 25.1, as the names of header
// fields are.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && !strings.ContainsRune("-.!%*_+`'~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}
