package mi

import (
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// The rule by which both JSON-RPC dialects encode a Node:
//
//   - A node with only a Value is that value; without one it is null.
//   - A List is the array of its children, without their names.
//   - Any other node is an object: "value" if there is a Value, then the attributes,
//     then the children under their names. Several children with the same name are an
//     array.
//   - A List with a Value or attributes is such an object, with its children as the
//     array "nodes".
//
// A Stream should be in a List: in an object its children are written one by one, and must
// have different names.

// json writes a node by that rule. depth is the depth of the enclosing value, or negative
// for JSON without white space.
func (w *writer) json(n *Node, depth int) {
	plain := n.Value == nil && len(n.Attrs) == 0
	switch {
	case n.List && plain:
		w.array(n, depth)
	case !n.List && len(n.Attrs) == 0 && len(n.Nodes) == 0 && n.Stream == nil:
		w.scalar(n.Value)
	default:
		o := w.object(depth)
		if n.Value != nil {
			o.name("value")
			w.scalar(n.Value)
		}
		for _, a := range n.Attrs {
			o.name(a.Name)
			w.scalar(a.Value)
		}
		if n.List {
			o.name("nodes")
			w.array(n, o.depth)
		} else {
			w.each(&Node{Nodes: joined(n.Nodes), Stream: n.Stream}, func(c *Node) {
				o.name(c.Name)
				w.json(c, o.depth)
			})
		}
		o.end()
	}
}

// joined replaces nodes that have the same name by a List of them, in the place of the
// first.
func joined(nodes []*Node) []*Node {
	count := make(map[string]int, len(nodes))
	for _, c := range nodes {
		count[c.Name]++
	}
	if len(count) == len(nodes) {
		return nodes
	}
	lists := map[string]*Node{}
	var all []*Node
	for _, c := range nodes {
		l := lists[c.Name]
		switch {
		case count[c.Name] == 1:
			all = append(all, c)
			continue
		case l == nil:
			l = &Node{Name: c.Name, List: true}
			lists[c.Name] = l
			all = append(all, l)
		}
		l.Nodes = append(l.Nodes, c)
	}
	return all
}

// array writes the children of a node as an array. In Kamailio's layout it separates them
// with ", ", not with a line feed.
func (w *writer) array(n *Node, depth int) {
	if depth >= 0 {
		depth++
	}
	w.char('[')
	sep := ""
	w.each(n, func(c *Node) {
		w.str(sep)
		w.json(c, depth)
		if sep = ","; depth >= 0 {
			sep = ", "
		}
	})
	w.char(']')
}

// object writes an object member by member: in the layout of Kamailio's JSON-RPC, which
// kamctl reads line by line, or without white space.
type object struct {
	w     *writer
	depth int // of the members; negative: no white space
	any   bool
}

// object begins an object inside a value of that depth.
func (w *writer) object(depth int) *object {
	w.char('{')
	if depth >= 0 {
		depth++
	}
	return &object{w: w, depth: depth}
}

// name writes the name of a member. Its value is written next.
func (o *object) name(s string) {
	if o.any {
		o.w.char(',')
	}
	o.any = true
	o.newline(o.depth)
	o.w.quoted(s)
	o.w.char(':')
	if o.depth >= 0 {
		o.w.char('\t')
	}
}

// end ends the object. In Kamailio's layout even an empty object has a line feed.
func (o *object) end() {
	o.newline(o.depth - 1)
	o.w.char('}')
}

// newline begins a line in Kamailio's layout.
func (o *object) newline(tabs int) {
	if o.depth >= 0 {
		o.w.char('\n')
		o.w.fill("\t", tabs)
	}
}

// scalar writes a value. Numbers that JSON does not have are written as null.
func (w *writer) scalar(v any) {
	switch v := v.(type) {
	case nil:
		w.str("null")
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case int, int64, int32, uint32, uint64:
		w.str(text(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			w.str("null")
			return
		}
		w.str(text(v))
	default:
		w.quoted(text(v))
	}
}

// quoted writes a JSON string. Bytes that are not UTF-8 become U+FFFD.
func (w *writer) quoted(s string) {
	const hex = "0123456789abcdef"
	w.char('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			w.buf = append(w.buf, '\\', byte(c))
		case c == '\n':
			w.str(`\n`)
		case c == '\r':
			w.str(`\r`)
		case c == '\t':
			w.str(`\t`)
		case c < ' ' || c == 0x7f:
			w.buf = append(w.buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			w.buf = utf8.AppendRune(w.buf, c)
		}
	}
	w.char('"')
}

// tree writes a node in the Native dialect: an object of name, value, attrs (an object),
// list and nodes (an array). Empty members are left out.
func (w *writer) tree(n *Node) {
	o := w.object(-1)
	if n.Name != "" {
		o.name("name")
		w.quoted(n.Name)
	}
	if n.Value != nil {
		o.name("value")
		w.scalar(n.Value)
	}
	if len(n.Attrs) > 0 {
		o.name("attrs")
		attrs := w.object(-1)
		for _, a := range n.Attrs {
			attrs.name(a.Name)
			w.scalar(a.Value)
		}
		attrs.end()
	}
	if n.List {
		o.name("list")
		w.str("true")
	}
	if len(n.Nodes) > 0 || n.Stream != nil {
		o.name("nodes")
		sep := byte('[')
		w.each(n, func(c *Node) {
			w.char(sep)
			sep = ','
			w.tree(c)
		})
		if sep == '[' {
			w.char(sep)
		}
		w.char(']')
	}
	o.end()
}

// MarshalJSON returns the node as both JSON-RPC dialects encode it.
func (n *Node) MarshalJSON() ([]byte, error) {
	w := writer{dst: io.Discard, limit: math.MaxInt}
	w.json(n, -1)
	return w.buf, w.broken
}
