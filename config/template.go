package config

import (
	"fmt"
	"slices"
	"strings"
)

// Variable is a pseudo-variable of Kamailio's that a Template may hold.
type Variable struct {
	Name string // "fu"; "hdr" takes an argument
	Help string
}

// variables stand for what is in the request, or known of it.
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
	{"si", "the address that the request came from"},
	{"sp", "the port that the request came from"},
	{"rm", "the method"},
	{"Ts", "the time, in seconds since 1970"},
	{"hdr", "the header field that is named: $hdr(Subject)"},
}

// Variables lists the pseudo-variables.
func Variables() []Variable { return slices.Clone(variables) }

// Template is a text with pseudo-variables in it.
type Template struct {
	raw   string
	parts []Part
}

// Part is a piece of a Template: text as it stands, or a variable.
type Part struct {
	Literal string
	Name    string // of the variable, "fu"; "" for text
	Arg     string // the name of the header for $hdr(Name)
}

// ParseTemplate reads "User $rU is offline" with the pseudo-variables of
// Variables. $(rU) is $rU, for where a letter follows; $$ is a dollar sign.
func ParseTemplate(s string) (Template, error) {
	t := Template{raw: s}
	for s != "" {
		text, rest, found := strings.Cut(s, "$")
		t.literal(text)
		if !found {
			break
		}
		p, n, err := variable(rest)
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

// literal appends text, to the text before it if there is some.
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

// variable reads what follows a dollar sign, and how many bytes that is.
func variable(s string) (p Part, n int, err error) {
	if strings.HasPrefix(s, "$") {
		return Part{Literal: "$"}, 1, nil
	}
	if inner, ok := strings.CutPrefix(s, "("); ok {
		p, n, err = plain(inner)
		if err == nil && !strings.HasPrefix(inner[n:], ")") {
			return Part{}, 0, fmt.Errorf("$(%s is not closed by a )", inner[:n])
		}
		return p, n + 2, err
	}
	return plain(s)
}

// plain reads a variable's name and argument.
func plain(s string) (p Part, n int, err error) {
	for n < len(s) && isAlnum(s[n]) {
		n++
	}
	p.Name = s[:n]
	switch {
	case n == 0:
		return p, 0, fmt.Errorf("a lone $ is no variable; write $$ for a dollar sign")
	case !slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == p.Name }):
		return p, 0, unknownVariable(p.Name)
	case p.Name != "hdr":
		return p, n, nil
	}
	arg, ok := strings.CutPrefix(s[n:], "(")
	end := strings.IndexByte(arg, ')')
	if !ok || end < 0 || !isToken(arg[:end]) {
		return p, 0, fmt.Errorf("$hdr takes the name of a header: $hdr(Subject)")
	}
	p.Arg = arg[:end]
	return p, n + 1 + end + 1, nil
}

func unknownVariable(name string) error {
	if name == "avp" || name == "var" || name == "xavp" {
		return fmt.Errorf("$%s is set by a routing script, which silod has not; take $hdr(Name)", name)
	}
	for _, v := range variables {
		if strings.HasPrefix(name, v.Name) {
			return fmt.Errorf("there is no $%s; write $(%s)%s for $%s and text behind it",
				name, v.Name, name[len(v.Name):], v.Name)
		}
	}
	var all []string
	for _, v := range variables {
		all = append(all, "$"+v.Name)
	}
	return fmt.Errorf("there is no $%s; there are %s(Name) and $$", name, strings.Join(all, " "))
}

// Parts are the pieces in order.
func (t Template) Parts() []Part { return slices.Clone(t.parts) }

// IsZero tells whether the template is empty: not set.
func (t Template) IsZero() bool { return t.raw == "" }

// String is the template as it was written.
func (t Template) String() string { return t.raw }

// Expand puts the template together; value gives what a variable stands for, "" where
// that is nothing. arg is the name in $hdr(name).
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

// UnmarshalText is ParseTemplate.
func (t *Template) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTemplate(string(b))
	return err
}

func (t *Template) text() string { return t.raw }

func (t *Template) expects() string { return "a text with pseudo-variables" }

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
