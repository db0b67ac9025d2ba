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

// Bounds on what the server can make us hold, or wait for.
const (
	maxMessage = 1 << 20         // bytes of one message on a stream
	writeTime  = 5 * time.Second // for a server that does not read
)

// flow is one connection to the server, over UDP or TCP, with the requests that
// wait for an answer on it.
type flow struct {
	conn   net.Conn
	server endpoint
	gone   chan struct{} // closed when nothing more can come

	mu      sync.Mutex
	waiting map[string]chan result // client transactions by branch
	broken  error                  // why the flow is gone
}

// result is a response, or the reason why none will come.
type result struct {
	res *Response
	err error
}

// final tells what ends a transaction.
func (r result) final() bool { return r.err != nil || r.res.Code >= 200 }

// newFlow makes the flow of a connection; Phone.read runs it.
func newFlow(conn net.Conn, server endpoint) *flow {
	return &flow{conn: conn, server: server, gone: make(chan struct{}), waiting: map[string]chan result{}}
}

// reliable tells whether nothing need be sent twice.
func (f *flow) reliable() bool { return f.server.network == "tcp" }

// alive tells whether anything can still come.
func (f *flow) alive() bool {
	select {
	case <-f.gone:
		return false
	default:
		return true
	}
}

// write sends one message. An unreachable port that was reported for an earlier
// datagram says nothing about this one, so it is sent once more.
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
	c := make(chan result, 8) // some provisional answers, and the final one
	f.waiting[branch] = c
	return c, nil
}

// forget ends a client transaction; what comes for it now is dropped.
func (f *flow) forget(branch string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, branch)
}

// resolve hands a response to its transaction. Late ones belong to none.
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

// read takes what arrives on a flow until it ends.
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

// readDatagrams reads one message a datagram. What is no SIP is dropped: anybody on
// this host can send it.
func (p *Phone) readDatagrams(f *flow) error {
	parser, buf := newParser(), make([]byte, 1<<16)
	for {
		n, err := f.conn.Read(buf)
		switch {
		case err == nil:
		case errors.Is(err, syscall.ECONNREFUSED): // the server may come back
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

// readStream reads messages back to back, in whatever pieces they come.
func (p *Phone) readStream(f *flow) error {
	stream := newParser().NewSIPStream()
	defer stream.Close()
	buf := make([]byte, 1<<15)
	var pending []byte // what the parser has got and not yet made a message of
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
			if err != nil { // no boundary is left to go on from
				return errors.New("the server sent what is not SIP")
			}
			p.dispatch(f, msg, bytes.TrimLeft(pending[:size], "\r\n"))
			pending = append(pending[:0], pending[size:]...)
		}
	}
}

// dispatch gives a message to the transaction that it belongs to.
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

// addrPort is the address without the zone and IPv4 mapping of the net package.
func addrPort(a net.Addr) netip.AddrPort {
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
