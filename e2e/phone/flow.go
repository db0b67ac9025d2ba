package phone

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	sipgo "github.com/emiago/sipgo/sip"
)

// Limits.
const (
	maxMessage = 1 << 20         // bytes of one message on a stream
	writeTime  = 5 * time.Second // for a server that does not read
)

// A flow is one connection to the server, over UDP or TCP, with its client
// transactions.
type flow struct {
	conn   net.Conn
	server endpoint
	gone   chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	waiting map[string]chan result // client transactions by branch
	broken  error                  // the reason for the end of the connection
}

// A result is a response, or the error of its transaction.
type result struct {
	res *Response
	err error
}

// final reports whether the result ends its transaction.
func (r result) final() bool { return r.err != nil || r.res.Code >= 200 }

// newFlow returns the flow of a connection. Phone.read runs it.
func newFlow(conn net.Conn, server endpoint) *flow {
	return &flow{conn: conn, server: server, gone: make(chan struct{}), waiting: map[string]chan result{}}
}

// reliable reports whether the transport retransmits by itself.
func (f *flow) reliable() bool { return f.server.network == "tcp" }

// alive reports whether anything can still arrive.
func (f *flow) alive() bool {
	select {
	case <-f.gone:
		return false
	default:
		return true
	}
}

// write sends one message. If the error is a closed UDP port, it was reported for an earlier
// datagram, and this one is sent again.
func (f *flow) write(b []byte) error {
	if err := f.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return f.server.unreachable(err)
	}
	_, err := f.conn.Write(b)
	if err != nil && !f.reliable() && errors.Is(err, syscall.ECONNREFUSED) {
		_, err = f.conn.Write(b)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EMSGSIZE):
		return errors.New("too long for a UDP datagram: use TCP")
	}
	return f.server.unreachable(err)
}

// wait registers a client transaction.
func (f *flow) wait(branch string) (<-chan result, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken != nil {
		return nil, f.broken
	}
	c := make(chan result, 8) // some provisional responses, and the final one
	f.waiting[branch] = c
	return c, nil
}

// forget ends a client transaction. Later responses are dropped.
func (f *flow) forget(branch string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, branch)
}

// resolve passes a response to its transaction, if there is one.
func (f *flow) resolve(res *Response) {
	branch := viaBranch(res.Headers.Get("Via"))
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.waiting[branch] <- result{res: res}:
	default:
	}
}

// fail ends all waiting transactions.
func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.waiting {
		select {
		case c <- result{err: err}:
		default:
		}
	}
}

// read reads a flow until it ends.
func (p *Phone) read(f *flow) {
	var err error
	if f.reliable() {
		err = p.readStream(f)
	} else {
		err = p.readDatagrams(f)
	}
	select {
	case <-p.done:
		err = ErrClosed
	default:
		err = f.server.unreachable(err)
	}
	f.mu.Lock()
	f.broken = err
	f.mu.Unlock()
	close(f.gone)
	f.fail(err)
	f.conn.Close()
}

// readDatagrams reads one message a datagram. Datagrams that are not SIP are dropped:
// any program on this host can send them.
func (p *Phone) readDatagrams(f *flow) error {
	parser, buf := newParser(), make([]byte, 1<<16)
	for {
		n, err := f.conn.Read(buf)
		switch {
		case err == nil:
		case errors.Is(err, syscall.ECONNREFUSED): // the server may start again
			f.fail(f.server.unreachable(err))
			continue
		default:
			return err
		}
		if len(bytes.Trim(buf[:n], "\r\n\x00")) == 0 { // keep-alive
			continue
		}
		msg, err := parser.ParseSIP(buf[:n])
		if err != nil {
			p.log.Debug("unreadable datagram dropped", "bytes", n)
			continue
		}
		p.dispatch(f, msg, buf[:n])
	}
}

// readStream reads messages one after the other, in pieces of any size.
func (p *Phone) readStream(f *flow) error {
	stream := newParser().NewSIPStream()
	defer stream.Close()
	buf := make([]byte, 1<<15)
	var pending []byte // bytes of the next message that the parser already has
	for {
		n, err := f.conn.Read(buf)
		if err != nil {
			if errors.Is(err, io.EOF) {
				return errors.New("the server closed the connection")
			}
			return err
		}
		pending = append(pending, buf[:n]...)
		if _, err := stream.Write(buf[:n]); err != nil {
			return err
		}
		for stream.Buffer().Len() > 0 {
			msg, size, err := stream.ParseNext()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				break
			}
			if err != nil { // the next message cannot be found
				return errors.New("the server sent data that is not SIP")
			}
			p.dispatch(f, msg, bytes.TrimLeft(pending[:size], "\r\n"))
			pending = append(pending[:0], pending[size:]...)
		}
	}
}

// dispatch passes a response to its transaction, and a request to accept.
func (p *Phone) dispatch(f *flow, msg sipgo.Message, raw []byte) {
	switch msg := msg.(type) {
	case *sipgo.Response:
		hs := headersOf(msg)
		f.resolve(&Response{
			Code: msg.StatusCode, Reason: msg.Reason, CallID: hs.Get("Call-ID"),
			Headers: hs, Body: msg.Body(),
		})
	case *sipgo.Request:
		m, err := newMessage(f, msg, raw)
		if err != nil {
			p.log.Debug("unanswerable request dropped", "reason", err)
			return
		}
		p.accept(m)
	}
}

// addrPort returns an address of the net package without IPv4 mapping.
func addrPort(a net.Addr) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
