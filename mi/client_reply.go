package mi

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// namedParams become an object, in their order; a name that is there twice gets
// an array.
type namedParams []Arg

// MarshalJSON writes the object.
func (p namedParams) MarshalJSON() ([]byte, error) {
	w := writer{dst: io.Discard}
	o := w.object(-1)
	for i, a := range p {
		same := func(b Arg) bool { return b.Name == a.Name }
		if slices.ContainsFunc(p[:i], same) {
			continue
		}
		o.name(a.Name)
		sep := byte('[')
		for _, b := range p[i:] {
			if same(b) {
				w.char(sep)
				w.quoted(b.Value)
				sep = ','
			}
		}
		w.char(']')
	}
	o.end()
	return w.buf, nil
}

// decodeReply reads a Native reply: its root without children into root, and
// every child into child as it comes. It ends early when child says false.
func decodeReply(in io.Reader, root *Node, child func(*Node) bool) error {
	r := bufio.NewReader(in)
	if b, err := r.Peek(1); err != nil || b[0] != '{' {
		line, err := r.ReadString('\n') // a daemon that has not even read the request
		return refusalLine(line, err)
	}
	d := json.NewDecoder(r)
	d.UseNumber()
	var refusal *struct {
		Code    int
		Message string
	}
	stopped := false
	err := members(d, func(name string) error {
		switch name {
		case "result":
			return decodeTree(d, root, func() error {
				c := &Node{}
				if err := decodeNode(d, c); err != nil {
					return err
				}
				if stopped = !child(c); stopped {
					return errStopped
				}
				return nil
			})
		case "error":
			return d.Decode(&refusal)
		}
		var skip json.RawMessage
		return d.Decode(&skip)
	})
	switch {
	case stopped:
		return nil
	case err != nil:
		return err
	case refusal != nil:
		return &Error{Code: refusal.Code, Text: refusal.Message}
	}
	return nil
}

// errStopped leaves the decoder's loops when the caller has seen enough.
var errStopped = errors.New("no more is wanted")

// decodeNode reads a whole node, as writer.tree writes it.
func decodeNode(d *json.Decoder, n *Node) error {
	return decodeTree(d, n, func() error {
		c := &Node{}
		n.Nodes = append(n.Nodes, c)
		return decodeNode(d, c)
	})
}

// decodeTree reads a node and calls child where each of its children begins.
func decodeTree(d *json.Decoder, n *Node, child func() error) error {
	return members(d, func(name string) error {
		switch name {
		case "name":
			return d.Decode(&n.Name)
		case "value":
			return decodeScalar(d, &n.Value)
		case "list":
			return d.Decode(&n.List)
		case "attrs":
			return members(d, func(name string) error {
				a := Attr{Name: name}
				err := decodeScalar(d, &a.Value)
				n.Attrs = append(n.Attrs, a)
				return err
			})
		case "nodes":
			return elements(d, child)
		}
		return fmt.Errorf("reply has an unknown member %q: siloctl and silod are of different versions", name)
	})
}

// members calls f for each member of an object, to read its value.
func members(d *json.Decoder, f func(name string) error) error {
	return within(d, '{', func() error {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		return f(name)
	})
}

// elements calls f where each element of an array begins.
func elements(d *json.Decoder, f func() error) error { return within(d, '[', f) }

// within reads what stands between two brackets, piece by piece.
func within(d *json.Decoder, open json.Delim, f func() error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != open {
		return fmt.Errorf("reply is not understood: %v where a %v was expected", t, open)
	}
	for d.More() {
		if err := f(); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// decodeScalar gives a number the type that a command would have given it.
func decodeScalar(d *json.Decoder, v *any) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		return fmt.Errorf("reply is not understood: %v where a value was expected", t)
	case json.Number:
		if n, err := t.Int64(); err == nil {
			*v = n
			return nil
		}
		*v, err = t.Float64()
		return err
	default:
		*v = t
		return nil
	}
}

// errOutput marks an error of whoever reads what the client prints.
var errOutput = errors.New("write the reply")

// copyClassic copies a classic reply up to its empty line, or the end of the
// input where there is none. A refusal is not copied.
func copyClassic(w io.Writer, in io.Reader) error {
	r := bufio.NewReaderSize(in, chunk)
	out := bufio.NewWriterSize(w, chunk)
	line, err := r.ReadSlice('\n')
	if !bytes.HasPrefix(line, []byte("200")) {
		return refusalLine(string(line), err)
	}
	for inLine := false; ; {
		end := errors.Is(err, io.EOF)
		if !inLine && string(line) == "\n" {
			line, end = nil, true
		}
		_, werr := out.Write(line)
		if end || r.Buffered() == 0 { // whoever reads shall not wait for what is here
			werr = cmp.Or(werr, out.Flush())
		}
		switch {
		case werr != nil:
			return fmt.Errorf("%w: %w", errOutput, werr)
		case end:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
		inLine = err != nil // a line that is longer than the buffer
		line, err = r.ReadSlice('\n')
	}
}

// refusalLine reads "404 no such room".
func refusalLine(line string, err error) error {
	code, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
	n, nerr := strconv.Atoi(code)
	switch {
	case nerr == nil && text != "":
		return &Error{Code: n, Text: text}
	case err != nil:
		return err
	}
	return fmt.Errorf("reply is not understood: it begins %.40q", line)
}
