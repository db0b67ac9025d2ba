package mi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Frame is one request as it came over a transport, with what it takes to answer
// it in kind.
type Frame struct {
	Request
	ReplyTo string // name of the client's reply FIFO; "" where it named none
	Err     *Error // why it cannot be run: it is answered so, where it can be answered
	Cut     bool   // its end was missing: nothing is changed on such a request

	id json.RawMessage // JSON-RPC's; nil where the request has none
}

// WantsReply tells whether the client expects an answer. In OpenSIPS's JSON-RPC a
// request without an id is a notification, which gets none.
func (f *Frame) WantsReply() bool {
	return f.Dialect != OpenSIPS && f.Dialect != Native || f.id != nil || f.Err != nil
}

// GoodReplyName tells whether name may be looked for in the directory of reply
// FIFOs: as ever, a name with a dot, slash or backslash is not.
func GoodReplyName(name string) bool {
	if name == "" || len(name) > 127 || strings.ContainsAny(name, `./\`) {
		return false
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] == 0x7f {
			return false
		}
	}
	return true
}

// Transport is the way of a reply, which decides its last bytes.
type Transport int

// The transports.
const (
	Pipe     Transport = iota // a FIFO: the end of the file ends a reply
	Datagram                  // one reply is one datagram, and at most maxDatagram bytes
	Stream                    // a connection: an empty line or a line feed ends a reply
)

// maxDatagram is the longest reply that kamunix and kamcli take.
const maxDatagram = 65457

// Service answers the requests of one transport.
type Service struct {
	Registry  *Registry
	Transport Transport
	ReadOnly  bool // refuse commands that change something
}

// Serve runs the frame's command and writes the reply to w in chunks; for a
// Datagram in one. The error is w's.
func (s *Service) Serve(ctx context.Context, f *Frame, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	node, err := s.run(ctx, f)
	if !f.WantsReply() {
		return nil
	}
	return s.reply(f, w, node, err)
}

// run calls the command, unless this transport or this request may not.
func (s *Service) run(ctx context.Context, f *Frame) (*Node, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	if cmd, ok := s.Registry.Lookup(f.Command); ok {
		switch {
		case cmd.Writes && s.ReadOnly:
			return nil, Errorf(403, "%s changes something, and this socket is for reading only", cmd.Name)
		case cmd.Bodies && s.ReadOnly:
			return nil, Errorf(403, "%s shows what people have written, and this socket does not", cmd.Name)
		case cmd.Writes && f.Cut:
			return nil, Errorf(400, "%s was not run: the request is not ended by an empty line", cmd.Name)
		case cmd.Follows && s.Transport != Stream:
			return nil, Errorf(400, "%s goes on until you leave: ask over the control socket", cmd.Name)
		}
	}
	f.ReadOnly = s.ReadOnly
	return s.Registry.Call(ctx, &f.Request)
}

// reply writes the reply, or in its place the refusal that became of it.
func (s *Service) reply(f *Frame, dst io.Writer, node *Node, err error) error {
	cmd, _ := s.Registry.Lookup(f.Command)
	w := &writer{dst: dst}
	if !cmd.Follows { // what is followed comes as it happens
		w.pace = s.Registry.pace()
	}
	if s.Transport == Datagram {
		w.limit = maxDatagram
	}
	s.encode(w, f, node, err)
	if instead := s.instead(w, f); instead != nil {
		w.buf, w.err, w.broken = w.buf[:0], nil, nil
		s.encode(w, f, nil, instead)
	}
	w.flush()
	return w.err
}

// instead gives the refusal that takes the place of a reply that came to nothing
// before its first byte went out.
func (s *Service) instead(w *writer, f *Frame) error {
	w.full()
	switch {
	case errors.Is(w.err, errTooLarge):
		return Errorf(413, "reply too long for a datagram: ask for a part of it (usage: %s), or over the control socket or the FIFO", s.usage(f))
	case w.broken != nil && w.sent == 0:
		return s.Registry.refusal(&f.Request, w.broken)
	}
	return nil
}

// usage reminds of the arguments, among which may be one to page with.
func (s *Service) usage(f *Frame) string {
	cmd, _ := s.Registry.Lookup(f.Command)
	return usage(cmd)
}

// encode writes a whole reply in the frame's dialect.
func (s *Service) encode(w *writer, f *Frame, node *Node, err error) {
	if f.Dialect == Classic {
		s.encodeClassic(w, f, node, err)
		return
	}
	s.encodeRPC(w, f, node, err)
	if s.Transport == Stream {
		w.char('\n')
	}
}

// encodeClassic ends every reply with an empty line, errors too: clients drop it
// or look for it, and none minds. A datagram ends by itself.
func (s *Service) encodeClassic(w *writer, f *Frame, node *Node, err error) {
	if err != nil {
		w.printable(s.classicError(f, err))
		w.char('\n')
	} else {
		w.str("200 OK\n")
		if node != nil {
			w.classic(node, *s.Registry.indent.Load(), 0)
		}
	}
	if w.broken != nil {
		// The 200 has gone out: the reader of these lines must see that they end early.
		w.str("500 the list ends here: ")
		w.printable(s.Registry.refusal(&f.Request, w.broken).Text)
		w.char('\n')
	}
	if s.Transport != Datagram {
		w.char('\n')
	}
}

// classicError words a refusal; a datagram's has never named the command.
func (s *Service) classicError(f *Frame, err error) string {
	e := s.Registry.refusal(&f.Request, err)
	if s.Transport != Datagram && f.Command != "" {
		switch *e {
		case *ErrNoCommand:
			return fmt.Sprintf("500 command '%s' not available", f.Command)
		case *ErrFailed:
			return fmt.Sprintf("500 command '%s' failed", f.Command)
		case *ErrParse:
			return fmt.Sprintf("400 parse error in command '%s'", f.Command)
		}
	}
	return e.Error()
}

// refusal is what the client is told of err. What is no refusal goes to the log.
func (r *Registry) refusal(req *Request, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	r.failed.Inc()
	r.log.Error("management command failed", "command", req.Command, "peer", req.Peer, "error", err)
	return ErrFailed
}
