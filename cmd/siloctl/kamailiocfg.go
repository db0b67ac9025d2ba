package main

import (
	"fmt"
	"net/netip"
	"strings"
)

// The reader of Kamailio configurations finds parameters: `modparam("module", "name", value)`, and
// `name = value` outside of routes. It follows comments, #!define and #!ifdef. Routes are skipped:
// silod does their work without a script.

// A setting is one parameter that a configuration sets.
type setting struct {
	module string // "" for Kamailio's own
	name   string
	value  string
	number bool // written without quotes
	line   int
}

// A token is a word, a string or a punctuation mark of a configuration.
type token struct {
	text   string
	quoted bool
	line   int
}

// A cfgReader splits a configuration into tokens.
type cfgReader struct {
	rest    string
	line    int
	defines map[string]string
	skipped []bool // for each open #!ifdef: whether its text is skipped
	notes   []leftOut
}

// readKamailio returns the settings of a configuration, and the parts that it did not understand.
func readKamailio(text string) ([]setting, []leftOut) {
	r := &cfgReader{rest: text, line: 1, defines: map[string]string{}}
	var tokens []token
	depth := 0
	for {
		t, ok := r.next()
		if !ok {
			break
		}
		switch {
		case !t.quoted && t.text == "{":
			if n := len(tokens); depth == 0 && n > 1 && tokens[n-2].text == "socket" && tokens[n-1].text == "=" {
				r.notes = append(r.notes, leftOut{t.line, "socket", "the form with braces is not read: set sip.listen and sip.advertise"})
				tokens = tokens[:n-2]
			}
			depth++
		case !t.quoted && t.text == "}":
			depth = max(0, depth-1)
		case depth == 0:
			tokens = append(tokens, t)
		}
	}
	return r.settings(tokens), r.notes
}

// settings returns the settings among the tokens.
func (r *cfgReader) settings(tokens []token) []setting {
	var list []setting
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		is := func(k int, s string) bool { return i+k < len(tokens) && !tokens[i+k].quoted && tokens[i+k].text == s }
		switch {
		case t.quoted:
		case t.text == "modparam" && is(1, "(") && is(3, ",") && is(5, ",") && is(7, ")"):
			value, number := r.value(tokens[i+6])
			for module := range strings.SplitSeq(tokens[i+2].text, "|") {
				list = append(list, setting{strings.TrimSpace(module), tokens[i+4].text, value, number, t.line})
			}
			i += 7
		case t.text == "modparam", t.text == "modparamx":
			r.notes = append(r.notes, leftOut{t.line, t.text, "it is not of the form modparam(\"module\", \"name\", value)"})
		case strings.HasSuffix(t.text, "include_file"), strings.HasSuffix(t.text, "import_file"):
			r.notes = append(r.notes, leftOut{t.line, t.text, "import that file as well"})
		case is(1, "=") && i+2 < len(tokens):
			value, number := r.value(tokens[i+2])
			list = append(list, setting{"", t.text, value, number, t.line})
			i += 2
			for ; more(tokens, i+1); i++ {
				if name := tokens[i+1].text; name == "advertise" || name == "as" || name == "name" {
					if i++; i+1 == len(tokens) {
						return list
					}
					value, _ := r.value(tokens[i+1])
					list = append(list, setting{"", name, value, false, t.line})
				} else if value, number := r.value(tokens[i+1]); strings.ContainsAny(value, ".:") {
					list = append(list, setting{"", t.text, value, number, t.line})
				}
			}
		}
	}
	return list
}

// more reports whether token i belongs to the setting before it: a further value, or a word such
// as advertise.
func more(tokens []token, i int) bool {
	const marks = ";(){}[]="
	if i >= len(tokens) || tokens[i].line != tokens[i-1].line || !tokens[i].quoted && strings.Contains(marks, tokens[i].text) {
		return false
	}
	return i+1 == len(tokens) || tokens[i+1].quoted || tokens[i+1].text != "=" && tokens[i+1].text != "("
}

// value returns the text of a token, or that of its #!define.
func (r *cfgReader) value(t token) (text string, number bool) {
	if t.quoted {
		return t.text, false
	}
	text = t.text
	for range len(r.defines) {
		d, ok := r.defines[text]
		if !ok {
			break
		}
		if q, cut := strings.CutPrefix(d, `"`); cut {
			return strings.TrimSuffix(q, `"`), false
		}
		text = d
	}
	return text, true
}

// next returns the next token that is not skipped.
func (r *cfgReader) next() (token, bool) {
	for r.rest != "" {
		c := r.rest[0]
		switch {
		case strings.HasPrefix(r.rest, "#!"), strings.HasPrefix(r.rest, "!!"):
			r.directive(r.take(lineEnd(r.rest)))
		case c == '#', strings.HasPrefix(r.rest, "//"):
			r.take(lineEnd(r.rest))
		case strings.HasPrefix(r.rest, "/*"):
			r.take(after(r.rest, "*/"))
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			r.take(1)
		default:
			line := r.line
			t := r.token()
			t.line = line
			if !r.skipping() {
				return t, true
			}
		}
	}
	return token{}, false
}

// token reads a string, a punctuation mark, or a word, which ends before the next of these.
func (r *cfgReader) token() token {
	switch c := r.rest[0]; {
	case c == '"' || c == '\'':
		raw := r.take(stringEnd(r.rest))
		return token{text: unquote(raw), quoted: true}
	case strings.IndexByte("(){}[],=;", c) >= 0 && !isBracketed(r.rest):
		return token{text: r.take(1)}
	}
	n := strings.IndexAny(r.rest[1:], " \t\r\n\"'(){},=;#")
	if n < 0 {
		n = len(r.rest) - 1
	}
	return token{text: r.take(1 + n)}
}

// isBracketed reports whether s begins with an IPv6 address in brackets, as in listen=[::1]:5060.
func isBracketed(s string) bool {
	const longest = len("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]")
	if s[0] != '[' {
		return false
	}
	inner, _, closed := strings.Cut(s[1:min(len(s), longest)], "]")
	_, err := netip.ParseAddr(inner)
	return closed && err == nil
}

// take returns the next n bytes and removes them from rest.
func (r *cfgReader) take(n int) string {
	s := r.rest[:n]
	r.rest = r.rest[n:]
	r.line += strings.Count(s, "\n")
	return s
}

// skipping reports whether the text here is in a part that an #!ifdef skips.
func (r *cfgReader) skipping() bool {
	for _, s := range r.skipped {
		if s {
			return true
		}
	}
	return false
}

// directive follows a line that begins with #! or !!.
func (r *cfgReader) directive(text string) {
	words := strings.Fields(text[2:])
	if len(words) == 0 {
		return
	}
	word := ""
	if len(words) > 1 {
		word = words[1]
	}
	_, defined := r.defines[word]
	last := len(r.skipped) - 1
	switch words[0] {
	case "ifdef":
		r.skipped = append(r.skipped, !defined)
	case "ifndef":
		r.skipped = append(r.skipped, defined)
	case "else":
		if last >= 0 {
			r.skipped[last] = !r.skipped[last]
		}
	case "endif":
		r.skipped = r.skipped[:max(0, last)]
	case "define", "trydef", "redefine", "redef":
		if !r.skipping() && word != "" && (words[0] != "trydef" || !defined) {
			_, value, _ := strings.Cut(text, word)
			r.defines[word] = strings.TrimSpace(value)
		}
	case "substdef", "subst", "substdefs", "defexp", "defexps", "ifexp":
		if !r.skipping() {
			r.notes = append(r.notes, leftOut{r.line, "#!" + words[0], "this directive is not followed"})
		}
		if words[0] == "ifexp" {
			r.skipped = append(r.skipped, true)
		}
	}
}

// lineEnd returns the index of the next line.
func lineEnd(s string) int { return after(s, "\n") }

// after returns the index after mark, or the length of s without mark.
func after(s, mark string) int {
	if i := strings.Index(s, mark); i >= 0 {
		return i + len(mark)
	}
	return len(s)
}

// stringEnd returns the index after the quoted string at the beginning of s.
func stringEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}

// unquote removes quotation marks and escapes.
func unquote(s string) string {
	mark := s[:1]
	s = strings.TrimSuffix(s[1:], mark)
	return strings.NewReplacer(`\"`, `"`, `\'`, `'`, `\\`, `\`, `\n`, "\n", `\r`, "\r", `\t`, "\t").Replace(s)
}

// A leftOut is a part of a configuration that was not converted.
type leftOut struct {
	Line int    `json:"line"` // 0: not in the configuration, but to be done
	What string `json:"what"`
	Why  string `json:"why"`
}

func (l leftOut) String() string {
	if l.Line == 0 {
		return fmt.Sprintf("still to be done: %s: %s", l.What, l.Why)
	}
	return fmt.Sprintf("line %d: %s: %s", l.Line, l.What, l.Why)
}
