// Package mi is the management vocabulary: commands, requests, reply trees,
// errors, counters and the registry that all transports and dialects share. Its
// codecs speak the classic line protocol of Kamailio 4 and OpenSIPS 2, and
// JSON-RPC as Kamailio 5/6 and OpenSIPS 3/4 dress it; its sockets serve them, and
// its Client asks them.
//
// It knows nothing of SIP, rooms or messages: whoever owns a thing registers the
// commands that manage it.
//
// The way of a request: a Reader cuts a Frame out of the bytes, a Service has the
// Registry run it, and writes the Node that comes back in the Frame's Dialect.
//
// Locks: Registry.mu guards the tables of commands and statistics; it is never
// held while a command or a gauge runs.
package mi

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Dialect is the framing in which a request came, and so the shape its reply has.
type Dialect int

// The dialects.
const (
	Classic  Dialect = iota // Kamailio <= 4, OpenSIPS <= 2: lines of text
	Kamailio                // Kamailio 5 and 6: JSON-RPC
	OpenSIPS                // OpenSIPS 3 and 4: JSON-RPC
	Native                  // siloctl over the control socket: JSON-RPC, streaming
)

// Command is one management command. Whoever owns what it manages makes it.
type Command struct {
	Name    string   // classic name, "imc_list_members"
	Aliases []string // newer names, "imc.list_members"
	Args    string   // usage, "ROOM [LIMIT]"; also the names of JSON-RPC's named parameters, in order
	Help    string   // one sentence, for help, siloctl and the generated manual
	MinArgs int
	MaxArgs int  // below 0: any number
	Writes  bool // it changes something: logged with who asked, refused on a read-only socket

	// Follows says that the reply goes on for as long as the client listens. It is for
	// connections only: at the other end of a FIFO nobody notices that a client has gone.
	Follows bool
	// Bodies says that it shows what people have written: refused on a read-only socket.
	Bodies bool

	// Private are the names in Args whose values never get into a log. Those that
	// speak of a password, a text or a body are kept out in any case.
	Private []string

	// Timeout is how long Run may take; 0 is 10 seconds.
	Timeout time.Duration

	// Run does it. It must return when ctx ends. An error that is no *Error is
	// answered 500 without its text, and logged.
	Run func(ctx context.Context, req *Request) (*Node, error)
}

// Arg is one argument; Name is "" where it was given by position.
type Arg struct{ Name, Value string }

// Request is one call of a command.
type Request struct {
	Command string // as the client wrote it
	Args    []Arg
	Dialect Dialect
	Peer    string // who asks, for the log: "fifo", "uid=1000 pid=77"

	ReadOnly bool // it came over a socket for reading only
}

// Arg is the i-th argument's value, or "" where there are fewer.
func (r *Request) Arg(i int) string {
	if i < 0 || i >= len(r.Args) {
		return ""
	}
	return r.Args[i].Value
}

// Named is the value of the named argument, or of the i-th unnamed one.
func (r *Request) Named(name string, i int) string {
	for _, a := range r.Args {
		if a.Name == name {
			return a.Value
		}
	}
	if i >= 0 && i < len(r.Args) && r.Args[i].Name == "" {
		return r.Args[i].Value
	}
	return ""
}

// Attr is one name=value of a Node.
type Attr struct {
	Name  string
	Value any // string, int, int64, float64 or bool
}

// Node is a reply, or a part of one. As classic lines it is
// "Name:: Value attr=value" with its children indented below; in JSON the
// children of a List are an array and those of any other node an object.
type Node struct {
	Name  string
	Value any // nil, string, int, int64, float64 or bool
	Attrs []Attr
	Nodes []*Node
	List  bool // children are an array in JSON; JSON-RPC gives [] for none

	// Stream, where set, gives further children one by one, so that a long list
	// never stands in memory. An error ends the reply.
	Stream iter.Seq2[*Node, error]
}

// Add appends a child and returns it.
func (n *Node) Add(name string, value any, attrs ...Attr) *Node {
	c := &Node{Name: name, Value: value, Attrs: attrs}
	n.Nodes = append(n.Nodes, c)
	return c
}

// Error is a refusal that the client sees: an MI code and a text for people.
type Error struct {
	Code int // as SIP's: 400, 404, 500, ...
	Text string
}

// Error is "404 no such room".
func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Text) }

// Is compares refusals by code and text, so that errors.Is works on one that a
// Client received.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && *t == *e
}

// Errorf makes an Error.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Refusals that are not a command's own. Each dialect has words and codes of its
// own for them.
var (
	ErrNoCommand = &Error{500, "command not available"}
	ErrFailed    = &Error{500, "command failed"}
	ErrParse     = &Error{400, "parse error in command"}
	ErrArguments = &Error{400, "Too few or too many arguments"}
)
