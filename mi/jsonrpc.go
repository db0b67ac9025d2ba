package mi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Refusals of requests that are not valid JSON-RPC.
var (
	errRequest = &Error{400, "Invalid Request: one object with a method and params is needed"}
	errParams  = &Error{400, "Invalid params: strings, numbers or booleans are needed"}
)

// rpcRequest is a request of any JSON-RPC dialect. reply_name is Kamailio's. dialect is
// silod's: it sets the dialect of the reply.
type rpcRequest struct {
	Method    string          `json:"method"`
	Params    json.RawMessage `json:"params"`
	ID        json.RawMessage `json:"id"`
	ReplyName *string         `json:"reply_name"`
	Dialect   string          `json:"dialect"`
}

// dialects are the values of "dialect".
var dialects = map[string]Dialect{
	"classic": Classic, "kamailio": Kamailio, "opensips": OpenSIPS, "native": Native,
}

// replyName matches the name of the reply FIFO in a request that is not valid JSON.
var replyName = regexp.MustCompile(`"reply_name"\s*:\s*"([^"\\]*)"`)

// decodeRPC decodes a JSON-RPC request. It is Kamailio's if it has a reply_name, or a method
// with a dot, as all methods of Kamailio and none of OpenSIPS have.
func decodeRPC(data []byte) *Frame {
	f := &Frame{}
	var q rpcRequest
	err := json.Unmarshal(repaired(data), &q)
	if err != nil && q.ReplyName == nil {
		if m := replyName.FindSubmatch(data); m != nil {
			name := string(m[1])
			q.ReplyName = &name
		}
	}
	f.Dialect = OpenSIPS
	if q.ReplyName != nil || strings.Contains(q.Method, ".") {
		f.Dialect = Kamailio
	}
	f.fill(&q, err)
	if q.ReplyName != nil {
		f.setReplyTo(*q.ReplyName)
	}
	return f
}

// decodeNamedRPC decodes a request in OpenSIPS's framing, :name:{...}.
func decodeNamedRPC(name string, data []byte) *Frame {
	f := &Frame{}
	f.Dialect = OpenSIPS
	var q rpcRequest
	f.fill(&q, json.Unmarshal(repaired(data), &q))
	if name == "" {
		f.id = nil // there is no reply FIFO, so the request is a notification
	} else {
		f.setReplyTo(name)
	}
	return f
}

// fill sets the fields of the frame from a decoded request, or from the error of decoding.
func (f *Frame) fill(q *rpcRequest, err error) {
	f.Command, f.id = q.Method, q.ID
	d, known := dialects[q.Dialect]
	if known {
		f.Dialect = d
	}
	switch {
	case err != nil:
		f.Err = ErrParse
	case q.Method == "" || q.Dialect != "" && !known:
		f.Err = errRequest
	default:
		if f.Args, err = decodeParams(q.Params); err != nil {
			f.Err = errParams
		}
	}
}

// decodeParams decodes params in their order, those of an object with their names. An array
// inside is a list of values of one parameter.
func decodeParams(raw json.RawMessage) ([]Arg, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	open, err := d.Token()
	if open != json.Delim('[') && open != json.Delim('{') {
		return nil, errParams
	}
	var args []Arg
	for err == nil && d.More() {
		var name string
		if open == json.Delim('{') {
			t, _ := d.Token()
			name, _ = t.(string)
		}
		var v any
		if err = d.Decode(&v); err != nil {
			break
		}
		values, isList := v.([]any)
		if !isList {
			values = []any{v}
		}
		for _, v := range values {
			s, ok := scalarText(v)
			if !ok {
				return nil, errParams
			}
			args = append(args, Arg{Name: name, Value: s})
		}
	}
	return args, err
}

// scalarText returns a param as text, as commands take all arguments as text, and whether it
// is a scalar.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case bool, json.Number:
		return fmt.Sprint(v), true
	}
	return "", false
}

// repaired returns valid JSON for requests of existing clients that are not: kamctl writes
// raw line breaks in strings (`kamctl ping`), and writes all words that printf accepts as
// numbers, such as +49 or 007, without quotes.
func repaired(data []byte) []byte {
	out := make([]byte, 0, len(data)+16)
	inString, escaped := false, false
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case inString:
			if c < ' ' {
				out = fmt.Appendf(out, `\u%04x`, c)
				continue
			}
			inString = c != '"' || escaped
			escaped = c == '\\' && !escaped
		case c == '"':
			inString = true
		case bareByte(c):
			end := i
			for end < len(data) && bareByte(data[end]) {
				end++
			}
			word := data[i:end]
			if !json.Valid(word) {
				word = fmt.Appendf(nil, "%q", word)
			}
			out = append(out, word...)
			i = end - 1
			continue
		}
		out = append(out, c)
	}
	return out
}

// bareByte reports whether c can be part of a word without quotes.
func bareByte(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '+' || c == '-' || c == '.'
}

// encodeRPC encodes a JSON-RPC reply: Kamailio's with TABs and line feeds, the others in one
// line. A list that fails after its beginning was written has both a result and an error.
func (s *Service) encodeRPC(w *writer, f *Frame, node *Node, err error) {
	depth := -1
	if f.Dialect == Kamailio {
		depth = 0
	}
	o := w.object(depth)
	o.name("jsonrpc")
	w.quoted("2.0")
	if err == nil {
		o.name("result")
		w.result(f.Dialect, node, o.depth)
		err = w.broken
	}
	if err != nil {
		code, text := rpcError(f.Dialect, s.Registry.refusal(&f.Request, err))
		o.name("error")
		e := w.object(o.depth)
		e.name("code")
		w.scalar(code)
		e.name("message")
		w.quoted(text)
		e.end()
	}
	if id := f.replyID(); id != "" {
		o.name("id")
		w.str(id)
	}
	o.end()
}

// result writes the result of a command. If it is empty, the dialect has a value of its own
// for success.
func (w *writer) result(d Dialect, n *Node, depth int) {
	empty := n == nil || n.Value == nil && !n.List && len(n.Attrs) == 0 && len(n.Nodes) == 0 && n.Stream == nil
	switch {
	case d == Native && n == nil:
		w.tree(&Node{})
	case d == Native:
		w.tree(n)
	case empty && d == OpenSIPS:
		w.quoted("OK")
	case empty:
		w.object(depth).end()
	default:
		w.json(n, depth)
	}
}

// replyID returns the id of the reply, which is that of the request. In Kamailio's dialect
// null becomes 0, and a reply to a request without an id has none.
func (f *Frame) replyID() string {
	id := string(f.id)
	switch {
	case f.Dialect == Kamailio && id == "null":
		return "0"
	case f.Dialect == Kamailio && id == "":
		return ""
	case id == "" || id[0] == '{' || id[0] == '[':
		return "null"
	}
	return id
}

// rpcError returns the code and text of a refusal in the dialect.
func rpcError(d Dialect, e *Error) (int, string) {
	switch {
	case d == Kamailio && *e == *ErrNoCommand:
		return 500, "Method Not Found"
	case d != OpenSIPS:
		return e.Code, e.Text
	case *e == *ErrParse:
		return -32700, "Parse error"
	case *e == *errRequest:
		return -32600, "Invalid Request"
	case *e == *ErrNoCommand:
		return -32601, "Method not found"
	case *e == *ErrArguments, *e == *errParams:
		return -32602, "Invalid params"
	case *e == *ErrFailed:
		return -32000, "Server error"
	}
	return e.Code, e.Text
}
