package sip

import (
	"errors"
	"fmt"
	"strings"
)

// A Param is one parameter, ";name" or ";name=value".
type Param struct {
	Name     string
	Value    string // without quotes and their escapes
	HasValue bool
	Quoted   bool // Value is written as a quoted string
}

// Params is a list of parameters, in the order of the message. Names are compared without
// regard to case (RFC 3261 section 7.3.1).
type Params []Param

// Get returns the value of the first parameter with a name. It reports whether there is one.
func (ps Params) Get(name string) (string, bool) {
	for i := range ps {
		if n := ps[i].Name; n == name || len(n) == len(name) && strings.EqualFold(n, name) {
			return ps[i].Value, true
		}
	}
	return "", false
}

// With returns a copy in which the named parameter has the given value. If it was missing,
// it is added at the end.
func (ps Params) With(name, value string) Params {
	out := make(Params, 0, len(ps)+1)
	p := Param{Name: name, Value: value, HasValue: value != ""}
	found := false
	for _, old := range ps {
		if strings.EqualFold(old.Name, name) {
			if !found {
				out = append(out, p)
			}
			found = true
			continue
		}
		out = append(out, old)
	}
	if !found {
		out = append(out, p)
	}
	return out
}

// Without returns a copy without the named parameters.
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

// String returns the parameters, each with a leading semicolon.
func (ps Params) String() string { return string(ps.appendTo(nil)) }

func (ps Params) appendTo(b []byte) []byte {
	for i := range ps {
		b = ps[i].AppendTo(b)
	}
	return b
}

// AppendTo appends the parameter, with a leading semicolon, to b.
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

// ParseParams parses the parameters of a header value, such as
// ";name = value; name = "quoted; string"; flag". White space is allowed as in RFC 3261
// section 25.1.
func ParseParams(s string) (Params, error) {
	ps, rest, _, err := parseParams(s)
	if err == nil && rest != "" {
		err = fmt.Errorf("unexpected %s behind the parameters", quote(rest))
	}
	return ps, err
}

// parseParams parses parameters up to a comma or the end of s. It returns the rest of s. tidy is
// false if there are parameters that no header field may have and that are ignored: empty ones,
// which some clients send ("a;;b" or a trailing ';'), and those whose name is no token.
func parseParams(s string) (ps Params, rest string, tidy bool, err error) {
	tidy = true
	for {
		s = trimLeft(s)
		if s == "" || s[0] == ',' {
			return ps, s, tidy, nil
		}
		if s[0] != ';' {
			return nil, s, tidy, fmt.Errorf("expected ';' before %s", quote(s))
		}
		s = trimLeft(s[1:])
		if s == "" || s[0] == ',' || s[0] == ';' {
			tidy = false
			continue
		}
		n := paramNameLen(s)
		if n == 0 {
			return nil, s, tidy, fmt.Errorf("bad parameter name at %s", quote(s))
		}
		p := Param{Name: s[:n]}
		s = trimLeft(s[n:])
		if strings.HasPrefix(s, "=") {
			s = trimLeft(s[1:])
			p.HasValue = true
			if p.Value, p.Quoted, s, err = paramValue(s); err != nil {
				return nil, s, tidy, fmt.Errorf("parameter %s: %w", p.Name, err)
			}
		}
		if !IsToken(p.Name) {
			tidy = false
			continue
		}
		if ps == nil {
			ps = make(Params, 0, 1+semicolons(s))
		}
		ps = append(ps, p)
	}
}

// semicolons returns the number of semicolons near the start of s, at most 7. It does not look
// at all of s, because a long list of values calls it for each.
func semicolons(s string) int { return min(strings.Count(s[:min(len(s), 256)], ";"), 7) }

// paramNameLen returns the length of the parameter name at the start of s: a token, or with
// other visible characters that have no meaning there.
func paramNameLen(s string) int {
	n := 0
	for n < len(s) && paramNameChars[s[n]] {
		n++
	}
	return n
}

// paramValue parses a token, a host (also an IPv6 address in brackets) or a quoted string at
// the start of s. It returns the rest of s.
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

// parseQuoted parses a quoted string at the start of s and decodes its backslash escapes. It
// returns the rest of s.
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
		if s[i] == '\r' || s[i] == '\n' { // not allowed in a quoted pair either
			return "", "", errors.New("line break in a quoted string")
		}
		b.WriteByte(s[i])
	}
	return "", "", errors.New("unterminated quoted string")
}

// Quote returns s as a quoted string (RFC 3261 section 25.1). It replaces line breaks, which
// could add a header field, and NULs by spaces.
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
