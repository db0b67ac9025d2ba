package client

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"silod/mi"
)

// decodeReply reads a Native reply. It sets root, without its children, and calls child with
// each child as it arrives, until child returns false. The error is an *mi.Error if the
// daemon refused the command.
func decodeReply(in io.Reader, root *mi.Node, child func(*mi.Node) bool) error {
	r := bufio.NewReader(in)
	if b, err := r.Peek(1); err != nil || b[0] != '{' {
		line, err := r.ReadString('\n') // a refusal before the request was read
		return refusalLine(line, err)
	}
	// A daemon of another version may repeat a name or cut a character, without an effect on
	// the rest of the reply.
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var refusal *mi.Error
	stopped := false
	err := members(d, func(name string) (err error) {
		switch name {
		case "result":
			return decodeTree(d, root, func() error {
				c := &mi.Node{}
				if err := decodeNode(d, c); err != nil {
					return err
				}
				if stopped = !child(c); stopped {
					return errStopped
				}
				return nil
			})
		case "error":
			refusal, err = decodeRefusal(d)
			return err
		}
		return d.SkipValue()
	})
	switch {
	case stopped:
		return nil
	case err != nil:
		return err
	case refusal != nil:
		return refusal
	}
	return nil
}

// errStopped ends the decoder's loops when child has returned false.
var errStopped = errors.New("stopped by the caller")

// decodeNode reads a node with its children.
func decodeNode(d *jsontext.Decoder, n *mi.Node) error {
	return decodeTree(d, n, func() error {
		c := &mi.Node{}
		n.Nodes = append(n.Nodes, c)
		return decodeNode(d, c)
	})
}

// decodeTree reads a node and calls child at the beginning of each of its children.
func decodeTree(d *jsontext.Decoder, n *mi.Node, child func() error) error {
	return members(d, func(name string) (err error) {
		switch name {
		case "name":
			n.Name, err = decode[string](d)
		case "value":
			n.Value, err = decodeScalar(d)
		case "list":
			n.List, err = decode[bool](d)
		case "attrs":
			err = members(d, func(name string) error {
				v, err := decodeScalar(d)
				n.Attrs = append(n.Attrs, mi.Attr{Name: name, Value: v})
				return err
			})
		case "nodes":
			err = elements(d, child)
		default:
			err = fmt.Errorf("reply has an unknown member %q: siloctl and silod have different versions", name)
		}
		return err
	})
}

// decodeRefusal reads the error of a JSON-RPC reply. It returns nil for null.
func decodeRefusal(d *jsontext.Decoder) (*mi.Error, error) {
	if d.PeekKind() == 'n' {
		return nil, d.SkipValue()
	}
	e := &mi.Error{}
	return e, members(d, func(name string) (err error) {
		switch name {
		case "code":
			var code int64
			code, err = decode[int64](d)
			e.Code = int(code)
		case "message":
			e.Text, err = decode[string](d)
		default:
			err = d.SkipValue()
		}
		return err
	})
}

// members calls f for each member of an object, to read its value.
func members(d *jsontext.Decoder, f func(name string) error) error {
	return within(d, '{', func() error {
		name, err := decode[string](d)
		if err != nil {
			return err
		}
		return f(name)
	})
}

// elements calls f at the beginning of each element of an array.
func elements(d *jsontext.Decoder, f func() error) error { return within(d, '[', f) }

// within reads an object or array that begins with open, and calls f at the beginning of
// each member or element.
func within(d *jsontext.Decoder, open jsontext.Kind, f func() error) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != open {
		return fmt.Errorf("invalid reply: got %v, want %v", t, open)
	}
	for {
		switch d.PeekKind() {
		case ']', '}', 0: // 0 is an error, which ReadToken returns
			_, err := d.ReadToken()
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// decode reads a value of type T. It returns the zero value for null.
func decode[T string | bool | int64](d *jsontext.Decoder) (zero T, err error) {
	v, err := decodeScalar(d)
	if err != nil || v == nil {
		return zero, err
	}
	t, ok := v.(T)
	if !ok {
		return zero, fmt.Errorf("invalid reply: got %v, want a %T", v, zero)
	}
	return t, nil
}

// decodeScalar reads a value of a Node or Attr. Integers are of type int64, and other numbers
// of type float64.
func decodeScalar(d *jsontext.Decoder) (any, error) {
	t, err := d.ReadToken()
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return t.Bool(), nil
	case '"':
		return t.String(), nil
	case '0':
		if n, err := strconv.ParseInt(t.String(), 10, 64); err == nil {
			return n, nil
		}
		return t.Float()
	}
	return nil, fmt.Errorf("invalid reply: got %v, want a value", t)
}

// errOutput is wrapped by errors of writing to the caller's io.Writer.
var errOutput = errors.New("write the reply")

// bufferSize is the size of the buffers that a classic reply passes through.
const bufferSize = 32 << 10

// copyClassic copies a classic reply up to its empty line or the end of the input. A refusal
// is not copied, but returned as an *mi.Error.
func copyClassic(w io.Writer, in io.Reader) error {
	r := bufio.NewReaderSize(in, bufferSize)
	out := bufio.NewWriterSize(w, bufferSize)
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
		if end || r.Buffered() == 0 { // before waiting for input
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
		inLine = err != nil // the line is longer than the buffer
		line, err = r.ReadSlice('\n')
	}
}

// refusalLine parses a refusal, such as "404 no such room". It returns err if the line is
// not one, or an error of its own.
func refusalLine(line string, err error) error {
	code, text, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
	n, nerr := strconv.Atoi(code)
	switch {
	case nerr == nil && text != "":
		return &mi.Error{Code: n, Text: text}
	case err != nil:
		return err
	}
	return fmt.Errorf("invalid reply: it begins with %.40q", line)
}
