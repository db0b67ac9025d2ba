package mi

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Transport is the type of a transport. The last bytes of a reply depend on it.
type Transport int

// The transports.
const (
	Pipe     Transport = iota // a FIFO: a reply ends with the file
	Datagram                  // a reply is one datagram of at most maxDatagram bytes
	Stream                    // a connection: a reply ends with an empty line or a line feed
)

// maxDatagram is the size of the longest reply that kamunix and kamcli can receive.
const maxDatagram = 65457

// Service runs the requests of one transport.
type Service struct {
	Registry  *Registry
	Transport Transport
	ReadOnly  bool // refuse commands that change something or show message texts
}

// Serve runs the frame's command and writes the reply to w, for a Datagram in one write. It
// returns the error of w.
func (s *Service) Serve(ctx context.Context, f *Frame, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	node, err := s.run(ctx, f)
	if !f.WantsReply() {
		return nil
	}
	return s.reply(f, w, node, err)
}

// run calls the command, or returns a refusal if this transport or this request must not
// run it.
func (s *Service) run(ctx context.Context, f *Frame) (*Node, error) {
	if f.Err != nil {
		return nil, f.Err
	}
	if cmd, ok := s.Registry.Lookup(f.Command); ok {
		switch {
		case cmd.Writes && s.ReadOnly:
			return nil, Errorf(403, "%s is not allowed on a read-only socket", cmd.Name)
		case cmd.Bodies && s.ReadOnly:
			return nil, Errorf(403, "%s shows message texts, which a read-only socket does not allow", cmd.Name)
		case cmd.Writes && f.Cut:
			return nil, Errorf(400, "%s was not run: the request does not end with an empty line", cmd.Name)
		case cmd.Follows && s.Transport != Stream:
			return nil, Errorf(400, "%s runs until the connection is closed: use the control socket", cmd.Name)
		}
	}
	f.ReadOnly = s.ReadOnly
	return s.Registry.Call(ctx, &f.Request)
}

// reply writes the reply, or the refusal that replaces it.
func (s *Service) reply(f *Frame, dst io.Writer, node *Node, err error) error {
	cmd, _ := s.Registry.Lookup(f.Command)
	w := &writer{dst: dst}
	if !cmd.Follows { // events are written at once
		w.pace = s.Registry.pace()
	}
	if s.Transport == Datagram {
		w.limit = maxDatagram
	}
	s.encode(w, f, node, err)
	if refusal := s.replacement(w, f); refusal != nil {
		w.buf, w.err, w.broken = w.buf[:0], nil, nil
		s.encode(w, f, nil, refusal)
	}
	w.flush()
	return w.err
}

// replacement returns the refusal that replaces a reply which failed before its first byte
// was written, or nil.
func (s *Service) replacement(w *writer, f *Frame) error {
	w.full()
	switch {
	case errors.Is(w.err, errTooLarge):
		return Errorf(413, "reply too long for a datagram: request a part of it (usage: %s), or use the control socket or the FIFO", s.usage(f))
	case w.broken != nil && w.sent == 0:
		return s.Registry.refusal(&f.Request, w.broken)
	}
	return nil
}

// usage returns the usage of the frame's command, which may have an argument for paging.
func (s *Service) usage(f *Frame) string {
	cmd, _ := s.Registry.Lookup(f.Command)
	return usage(cmd)
}

// encode encodes a whole reply in the frame's dialect.
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

// encodeClassic encodes a classic reply. It ends with an empty line, unless it is a
// datagram. Some clients need that line, and the others ignore it.
func (s *Service) encodeClassic(w *writer, f *Frame, node *Node, err error) {
	if err != nil {
		w.printable(s.classicError(f, err))
		w.char('\n')
	} else {
		w.str("200 OK\n")
		if node != nil {
			w.classic(node, s.Registry.settings.Load().Indent, 0)
		}
	}
	if w.broken != nil {
		// The client has the 200 already, and must see that the lines end early.
		w.str("500 incomplete list: ")
		w.printable(s.Registry.refusal(&f.Request, w.broken).Text)
		w.char('\n')
	}
	if s.Transport != Datagram {
		w.char('\n')
	}
}

// classicError returns the line of a refusal. As in Kamailio, it names the command, except
// in a datagram.
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

// refusal returns err as the client sees it. An err that is not an *Error is logged, and the
// client sees ErrFailed.
func (r *Registry) refusal(req *Request, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	r.failed.Inc()
	r.log.Error("management command failed", "command", req.Command, "peer", req.Peer, "error", err)
	return ErrFailed
}
