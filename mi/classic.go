package mi

import (
	"fmt"
	"strconv"
	"strings"
)

// classic writes a node as lines: "name:: value attr=value", its children below,
// each level one indent further in. A node with neither name, value nor
// attributes has no line, and its children stand in its place.
func (w *writer) classic(n *Node, indent string, level int) {
	if n.Name != "" || n.Value != nil || len(n.Attrs) > 0 {
		w.fill(indent, level)
		w.classicLine(n)
		level++
	}
	w.each(n, func(c *Node) { w.classic(c, indent, level) })
}

// classicLine writes a node's own line. The colons stand behind every name, also
// when no value follows: kamctl and awk scripts split there.
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

// printable writes text such that it cannot end a line, or drive a terminal: a
// control character becomes \n, \r or \x1b, and a last line break is dropped.
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

// text writes a scalar as both families of dialects do.
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

// argReader takes the argument lines of a classic request apart.
type argReader struct {
	args []Arg
	bad  bool // there was a syntax error: the rest is of no use

	open  bool // inside a quoted value, which may go on for several lines
	name  string
	value []byte
}

// line takes one line without its line feed.
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
		r.quoted(s[1:]) // the end of its line may be part of the value
		return
	}
	s = strings.TrimRight(s, space)
	r.add(s, strings.Contains(s, `"`) || strings.Contains(r.name, `"`) || named && s == "" && r.name == "")
}

// space is what the originals trim from an argument.
const space = " \t\r\n\v\f"

// quoted reads what follows an opening quote, on its line or a later one. A
// backslash takes its meaning from a quote, but only from the second character
// on; it never escapes another.
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

// add ends an argument. A bad one is kept all the same: whoever looks at the
// request sees how far it could be read.
func (r *argReader) add(value string, bad bool) {
	r.bad = r.bad || bad
	r.args = append(r.args, Arg{Name: r.name, Value: value})
}
