package sip

import (
	"errors"
	"fmt"
	"strings"
)

// Param is one ";name=value". Value is without its quotes and escapes; Quoted
// says that it was, and will be, written as a quoted string.
type Param struct {
	Name     string
	Value    string
	HasValue bool
	Quoted   bool
}

// Params are parameters in the order in which they were written. Names compare
// without case (RFC 3261 section 7.3.1).
type Params []Param

// Get gives the value of the first parameter of that name.
func (ps Params) Get(name string) (string, bool) {
	for i := range ps {
		if n := ps[i].Name; n == name || len(n) == len(name) && strings.EqualFold(n, name) {
			return ps[i].Value, true
		}
	}
	return "", false
}

// With returns a copy in which the parameter has the value, added at the end
// where it was missing.
func (ps Params) With(name, value string) Params {
	out := make(Params, 0, len(ps)+1)
	p := Param{Name: name, Value: value, HasValue: value != ""}
	done := false
	for _, old := range ps {
		if strings.EqualFold(old.Name, name) {
			if !done {
				out = append(out, p)
			}
			done = true
			continue
		}
		out = append(out, old)
	}
	if !done {
		out = append(out, p)
	}
	return out
}

// Without returns a copy that lacks the named parameters.
func (ps Params) Without(names ...string) Params {
	out := make(Params, 0, len(ps))
next:
	for _, p := range ps {
		for _, n := range names {
			if strings.EqualFold(p.Name, n) {
				continue next
			}
		}
		out = append(out, p)
	}
	return out
}

// String writes the parameters, each with its leading semicolon.
func (ps Params) String() string { return string(ps.appendTo(nil)) }

func (ps Params) appendTo(b []byte) []byte {
	for i := range ps {
		b = ps[i].AppendTo(b)
	}
	return b
}

// AppendTo writes one parameter with its leading semicolon.
func (p *Param) AppendTo(b []byte) []byte {
	b = append(b, ';')
	b = append(b, p.Name...)
	switch {
	case !p.HasValue:
		return b
	case p.Quoted:
		return append(append(b, '='), Quote(p.Value)...)
	}
	return append(append(b, '='), p.Value...)
}

// ParseParams reads ";name = value; name = "quoted; string"; flag" up to the end
// of the value, with white space allowed wherever RFC 3261 section 25.1 allows it.
func ParseParams(s string) (Params, error) {
	ps, rest, err := parseParams(s)
	if err == nil && rest != "" {
		err = fmt.Errorf("unexpected %s behind the parameters", quote(rest))
	}
	return ps, err
}

// parseParams reads parameters until a comma or the end and returns what is left.
func parseParams(s string) (Params, string, error) {
	var ps Params
	for {
		s = trimLeft(s)
		if s == "" || s[0] == ',' {
			return ps, s, nil
		}
		if s[0] != ';' {
			return nil, s, fmt.Errorf("expected ';' before %s", quote(s))
		}
		s = trimLeft(s[1:])
		if s == "" || s[0] == ',' || s[0] == ';' {
			// "a;;b" and a trailing ';' are seen from real phones; nothing is lost by
			// passing over an empty parameter.
			continue
		}
		n := tokenLen(s)
		if n == 0 {
			return nil, s, fmt.Errorf("bad parameter name at %s", quote(s))
		}
		p := Param{Name: s[:n]}
		s = trimLeft(s[n:])
		if strings.HasPrefix(s, "=") {
			s = trimLeft(s[1:])
			p.HasValue = true
			var err error
			if p.Value, p.Quoted, s, err = paramValue(s); err != nil {
				return nil, s, fmt.Errorf("parameter %s: %w", p.Name, err)
			}
		}
		if ps == nil {
			ps = make(Params, 0, 1+min(strings.Count(s, ";"), 7))
		}
		ps = append(ps, p)
	}
}

// paramValue reads a token, a host (with IPv6 brackets and colons) or a quoted string.
func paramValue(s string) (value string, quoted bool, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		value, rest, err = parseQuoted(s)
		return value, true, rest, err
	}
	for n := range len(s) {
		switch c := s[n]; {
		case c == ';' || c == ',' || c == ' ' || c == '\t':
			return s[:n], false, s[n:], nil
		case c == '"':
			return "", false, s, errors.New("stray quotation mark")
		case c < ' ' || c == 0x7f:
			return "", false, s, errors.New("control character in the value")
		}
	}
	return s, false, "", nil
}

// parseQuoted reads a quoted string with its backslash escapes.
func parseQuoted(s string) (value, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], nil
		case '\\':
			if i++; i == len(s) {
				continue
			}
		}
		if s[i] == '\r' || s[i] == '\n' { // no quoted pair either
			return "", "", errors.New("line break in a quoted string")
		}
		b.WriteByte(s[i])
	}
	return "", "", errors.New("unterminated quoted string")
}

// Quote writes a quoted string (RFC 3261 section 25.1). Line breaks and NUL, which
// could smuggle a header, become spaces.
func Quote(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\r', '\n', 0:
			b.WriteByte(' ')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
