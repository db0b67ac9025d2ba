// Package mi is the management interface: commands, requests, reply trees, errors,
// counters, and the registry that all transports and dialects share. It reads and writes
// the line protocol of Kamailio 4 and OpenSIPS 2, and JSON-RPC in the variants of
// Kamailio 5 and 6 and OpenSIPS 3 and 4. Packages mi/socket and fifo are the transports.
//
// It knows nothing of SIP, rooms or messages: each package registers the commands that
// manage its own data.
//
// A Reader reads a Frame from a stream, and ReadDatagram reads one from a datagram. A
// Service runs the command of the Frame in the Registry and writes the resulting Node in
// the Frame's Dialect.
//
// Lock: Registry.mu guards the tables of commands and statistics. It is not held while a
// command or a gauge runs.
package mi

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// Dialect is the protocol variant of a request, and of its reply.
type Dialect int

// The dialects.
const (
	Classic  Dialect = iota // Kamailio <= 4, OpenSIPS <= 2: lines of text
	Kamailio                // Kamailio 5 and 6: JSON-RPC
	OpenSIPS                // OpenSIPS 3 and 4: JSON-RPC
	Native                  // siloctl over the control socket: JSON-RPC, streaming
)

// Command is one management command.
type Command struct {
	Name    string   // classic name, "imc_list_members"
	Aliases []string // newer names, "imc.list_members"
	Args    string   // usage, "ROOM [LIMIT]"; also the names of JSON-RPC's named parameters, in order
	Help    string   // one sentence, for help, siloctl and the generated manual
	MinArgs int
	MaxArgs int  // below 0: any number
	Writes  bool // it changes something: logged with its peer, refused on a read-only socket

	// Follows reports whether the reply continues until the client closes the
	// connection. Such a command runs over connections only: over a FIFO it would not
	// notice that the client has ended.
	Follows bool
	// Bodies reports whether the reply contains texts of messages. The command is then
	// refused on a read-only socket.
	Bodies bool

	// Private are the names in Args whose values are not logged. Arguments
	// with "password", "text", "body" and the like in their names are never logged.
	Private []string

	// Timeout is how long Run may take; 0 is 10 seconds.
	Timeout time.Duration

	// Run runs the command. It must return when ctx ends. An error that is not an
	// *Error is logged, and answered with 500 and without its text.
	Run func(ctx context.Context, req *Request) (*Node, error)
}

// Arg is one argument; Name is "" for an argument by position.
type Arg struct{ Name, Value string }

// Request is one call of a command.
type Request struct {
	Command string // as the client wrote it
	Args    []Arg
	Dialect Dialect
	Peer    string // the client, for the log: "fifo", "uid=1000 pid=77"

	ReadOnly bool // it came over a read-only socket

	gaps []int // indexes of arguments that the client left out before another one
}

// Arg returns the value of the i-th argument, or "" if there are fewer.
func (r *Request) Arg(i int) string {
	if i < 0 || i >= len(r.Args) {
		return ""
	}
	return r.Args[i].Value
}

// Named returns the value of the argument with that name, or else of the i-th argument if
// it has no name.
func (r *Request) Named(name string, i int) string {
	value, _ := r.Given(name, i)
	return value
}

// Given is Named that reports whether there is such an argument: an empty one selects
// nothing, a missing one may select everything.
func (r *Request) Given(name string, i int) (value string, given bool) {
	for _, a := range r.Args {
		if strings.EqualFold(a.Name, name) {
			return a.Value, true
		}
	}
	if i >= 0 && i < len(r.Args) && r.Args[i].Name == "" {
		return r.Args[i].Value, !slices.Contains(r.gaps, i)
	}
	return "", false
}

// Attr is one name=value of a Node.
type Attr struct {
	Name  string
	Value any // string, int, int64, float64 or bool
}

// Node is a reply, or a part of one. In the classic dialect it is the line
// "Name:: Value attr=value", followed by its children, indented. In JSON the children of a
// List are an array and those of any other node are an object; json.go has the rule.
type Node struct {
	Name  string
	Value any // nil, string, int, int64, float64 or bool
	Attrs []Attr
	Nodes []*Node
	List  bool // children are an array in JSON, [] if there are none

	// Stream, if it is not nil, yields further children one by one, so that a long
	// list is never in memory as a whole. An error ends the reply.
	Stream iter.Seq2[*Node, error]
}

// Add appends a child and returns it.
func (n *Node) Add(name string, value any, attrs ...Attr) *Node {
	c := &Node{Name: name, Value: value, Attrs: attrs}
	n.Nodes = append(n.Nodes, c)
	return c
}

// Error is a refusal that the client sees: an MI code and a text for users.
type Error struct {
	Code int // as SIP's: 400, 404, 500, ...
	Text string
}

// Error returns the code and the text, as in "404 no such room".
func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Text) }

// Is reports whether target is an *Error with the same code and text. So errors.Is finds
// ErrNoCommand and the like in the errors of a client.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && *t == *e
}

// Errorf returns an Error with a formatted text.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// Refusals by the registry and the codecs. Each dialect has its own texts and codes for
// them.
var (
	ErrNoCommand = &Error{500, "command not available"}
	ErrFailed    = &Error{500, "command failed"}
	ErrParse     = &Error{400, "parse error in command"}
	ErrArguments = &Error{400, "Too few or too many arguments"}
)
