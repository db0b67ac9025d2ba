package config

import (
	"fmt"
	"slices"
	"strings"
)

// A Variable is a pseudo-variable of Kamailio that a Template may contain.
type Variable struct {
	Name string // "fu"; "hdr" has an argument
	Help string
}

// variables are properties of a request. Their Help is in docs/configuration.md.
var variables = []Variable{
	{"ru", "the Request-URI"},
	{"rU", "the user of the Request-URI"},
	{"rd", "the domain of the Request-URI"},
	{"tu", "the URI of To"},
	{"tU", "the user of To"},
	{"td", "the domain of To"},
	{"fu", "the URI of From"},
	{"fU", "the user of From"},
	{"fd", "the domain of From"},
	{"fn", "the display name of From"},
	{"ci", "the Call-ID"},
	{"ct", "the Contact"},
	{"si", "the source address of the request"},
	{"sp", "the source port of the request"},
	{"rm", "the method"},
	{"Ts", "the time, in seconds since 1970"},
	{"hdr", "the header field with that name: $hdr(Subject)"},
}

// Variables returns the pseudo-variables.
func Variables() []Variable { return slices.Clone(variables) }

// A Template is a text with pseudo-variables.
type Template struct {
	raw   string
	parts []Part
}

// A Part is a part of a Template: text or a variable.
type Part struct {
	Literal string
	Name    string // of the variable, "fu"; "" for text
	Arg     string // of $hdr(Name): the name of the header field
}

// ParseTemplate parses a text such as "User $rU is offline" with the pseudo-variables
// of Variables. $(rU) is $rU if a letter follows; $$ is a dollar sign.
func ParseTemplate(s string) (Template, error) {
	t := Template{raw: s}
	for s != "" {
		text, rest, found := strings.Cut(s, "$")
		t.literal(text)
		if !found {
			break
		}
		p, n, err := parseVariable(rest)
		if err != nil {
			return Template{}, err
		}
		if p.Name == "" {
			t.literal(p.Literal)
		} else {
			t.parts = append(t.parts, p)
		}
		s = rest[n:]
	}
	return t, nil
}

// literal appends text, to the last part if that is text too.
func (t *Template) literal(s string) {
	if s == "" {
		return
	}
	if n := len(t.parts); n > 0 && t.parts[n-1].Name == "" {
		t.parts[n-1].Literal += s
		return
	}
	t.parts = append(t.parts, Part{Literal: s})
}

// parseVariable parses the text after a dollar sign. It returns a variable or a literal
// dollar sign, and its length in bytes.
func parseVariable(s string) (p Part, n int, err error) {
	if strings.HasPrefix(s, "$") {
		return Part{Literal: "$"}, 1, nil
	}
	if inner, ok := strings.CutPrefix(s, "("); ok {
		p, n, err = parseName(inner)
		if err == nil && !strings.HasPrefix(inner[n:], ")") {
			return Part{}, 0, fmt.Errorf("$(%s is not closed by a )", inner[:n])
		}
		return p, n + 2, err
	}
	return parseName(s)
}

// parseName parses the name and the argument of a variable.
func parseName(s string) (p Part, n int, err error) {
	for n < len(s) && isAlnum(s[n]) {
		n++
	}
	p.Name = s[:n]
	switch {
	case n == 0:
		return p, 0, fmt.Errorf("a $ alone is not a variable; write $$ for a dollar sign")
	case !slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == p.Name }):
		return p, 0, unknownVariable(p.Name)
	case p.Name != "hdr":
		return p, n, nil
	}
	arg, ok := strings.CutPrefix(s[n:], "(")
	end := strings.IndexByte(arg, ')')
	if !ok || end < 0 || !isToken(arg[:end]) {
		return p, 0, fmt.Errorf("$hdr needs the name of a header field: $hdr(Subject)")
	}
	p.Arg = arg[:end]
	return p, n + 1 + end + 1, nil
}

// unknownVariable returns an error with a suggestion.
func unknownVariable(name string) error {
	if name == "avp" || name == "var" || name == "xavp" {
		return fmt.Errorf("$%s is set by a routing script, which silod does not have; use $hdr(Name)", name)
	}
	for _, v := range variables {
		if strings.HasPrefix(name, v.Name) {
			return fmt.Errorf("there is no $%s; write $(%s)%s for $%s followed by text",
				name, v.Name, name[len(v.Name):], v.Name)
		}
	}
	var all []string
	for _, v := range variables {
		all = append(all, "$"+v.Name)
	}
	return fmt.Errorf("there is no $%s; there are %s(Name) and $$", name, strings.Join(all, " "))
}

// Parts returns the parts in order.
func (t Template) Parts() []Part { return slices.Clone(t.parts) }

// IsZero reports whether the template is empty, which means that it is not set.
func (t Template) IsZero() bool { return t.raw == "" }

// String returns the template in the form that ParseTemplate parses.
func (t Template) String() string { return t.raw }

// Expand returns the text with the variables replaced. value returns the value of a
// variable, "" if it has none; arg is the name in $hdr(name).
func (t Template) Expand(value func(name, arg string) string) string {
	var b strings.Builder
	for _, p := range t.parts {
		if p.Name == "" {
			b.WriteString(p.Literal)
		} else {
			b.WriteString(value(p.Name, p.Arg))
		}
	}
	return b.String()
}

// UnmarshalText parses a template as ParseTemplate does.
func (t *Template) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTemplate(string(b))
	return err
}

func (t *Template) text() string { return t.raw }

func (t *Template) expects() string { return "a text with pseudo-variables" }

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
