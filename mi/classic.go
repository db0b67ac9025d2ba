package mi

import (
	"fmt"
	"strconv"
	"strings"
)

// classic writes a node as the line "name:: value attr=value", followed by its children,
// which are indented one level more. A node without name, value and attributes has no
// line, and its children are not indented.
func (w *writer) classic(n *Node, indent string, level int) {
	if n.Name != "" || n.Value != nil || len(n.Attrs) > 0 {
		w.fill(indent, level)
		w.classicLine(n)
		level++
	}
	w.each(n, func(c *Node) { w.classic(c, indent, level) })
}

// classicLine writes the line of a node. Every name is followed by colons, even without a
// value, as kamctl and awk scripts split the line there.
func (w *writer) classicLine(n *Node) {
	if n.Name != "" {
		w.printable(n.Name)
		w.str(":: ")
	}
	if n.Value != nil {
		w.printable(text(n.Value))
	}
	for i, a := range n.Attrs {
		if i > 0 || n.Name != "" || n.Value != nil {
			w.char(' ')
		}
		w.printable(a.Name)
		w.char('=')
		w.printable(text(a.Value))
	}
	w.char('\n')
}

// printable writes text so that it cannot end a line or control a terminal: control
// characters become escapes such as \n and \x1b, and line breaks at the end are dropped.
func (w *writer) printable(s string) {
	s = strings.TrimRight(s, "\r\n")
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\n':
			w.str(`\n`)
		case c == '\r':
			w.str(`\r`)
		case c < ' ' && c != '\t' || c == 0x7f:
			w.buf = fmt.Appendf(w.buf, `\x%02x`, c)
		default:
			w.char(c)
		}
	}
}

// text returns a scalar as text, which is the same in all dialects.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

// argReader parses the argument lines of a classic request.
type argReader struct {
	args []Arg
	bad  bool // after a syntax error: further lines are ignored

	open  bool // inside a quoted value, which may have several lines
	name  string
	value []byte
}

// line parses one line, which is without its line feed.
func (r *argReader) line(raw []byte) {
	if r.bad {
		return
	}
	s := string(raw)
	if strings.IndexByte(s, 0) >= 0 {
		r.bad = true
		return
	}
	if r.open {
		r.value = append(r.value, '\n')
		r.quoted(s)
		return
	}
	s = strings.TrimLeft(s, space)
	if strings.TrimRight(s, space) == "" {
		return
	}
	r.name = ""
	named := false
	if s[0] != '"' {
		var name, value string
		if name, value, named = strings.Cut(s, "::"); named {
			r.name, s = strings.TrimRight(name, space), strings.TrimLeft(value, space)
		}
	}
	if strings.HasPrefix(s, `"`) {
		r.open, r.value = true, r.value[:0]
		r.quoted(s[1:]) // not trimmed: white space at the end may be part of the value
		return
	}
	s = strings.TrimRight(s, space)
	r.add(s, strings.Contains(s, `"`) || strings.Contains(r.name, `"`) || named && s == "" && r.name == "")
}

// space is the white space that Kamailio and OpenSIPS trim from an argument.
const space = " \t\r\n\v\f"

// quoted parses a quoted value after its opening quote, on the same line or a later one. A
// backslash escapes a quote, but not as the first character of the value. It escapes no
// other character.
func (r *argReader) quoted(s string) {
	for i := range len(s) {
		n := len(r.value)
		switch {
		case s[i] != '"':
			r.value = append(r.value, s[i])
		case n > 1 && r.value[n-1] == '\\':
			r.value[n-1] = '"'
		default:
			r.open = false
			value := string(r.value)
			r.add(value, strings.TrimSpace(s[i+1:]) != "" || value == "" && r.name == "")
			return
		}
	}
}

// add ends an argument. A bad one is kept too, as it shows where the syntax error is.
func (r *argReader) add(value string, bad bool) {
	r.bad = r.bad || bad
	r.args = append(r.args, Arg{Name: r.name, Value: value})
}
