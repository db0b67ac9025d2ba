package stack

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// streamListener accepts connections of one transport.
type streamListener struct {
	stack     *Stack
	transport Transport
	ln        net.Listener
	local     netip.AddrPort
}

func (s *Stack) listenTCP(ctx context.Context, addr netip.AddrPort) error {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(ctx, network("tcp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	local := unmap(ln.Addr().(*net.TCPAddr).AddrPort())
	s.tcp = append(s.tcp, &streamListener{stack: s, transport: TCP, ln: ln, local: local})
	return nil
}

// keepAlive finds peers that vanished without a FIN.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4}

func (l *streamListener) accept() error {
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			// Out of descriptors, or a peer that was gone at once: neither ends the
			// listener, the first must not spin.
			l.stack.cfg.Log.Warn("accept", "error", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		remote := unmap(nc.RemoteAddr().(*net.TCPAddr).AddrPort())
		if c := l.stack.adopt(nc, Flow{Transport: l.transport, Local: l.local, Remote: remote}); c != nil {
			go c.serve()
		}
	}
}

// conn is one stream, accepted or opened.
type conn struct {
	stack *Stack
	nc    net.Conn
	flow  Flow

	write sync.Mutex // held while one message is written
}

// adopt enters a connection into the table, or closes it where there is no room.
func (s *Stack) adopt(nc net.Conn, f Flow) *conn {
	c := &conn{stack: s, nc: nc, flow: f}
	if !s.conns.add(c, s.cfg.MaxConnections) {
		s.Stats.RefusedConnects.Inc()
		_ = nc.Close()
		return nil
	}
	s.Stats.Connections.Inc()
	return c
}

// close ends a connection once and tells those who count on its flow.
func (c *conn) close() {
	if !c.stack.conns.remove(c) {
		return
	}
	_ = c.nc.Close()
	c.stack.client.fail(c.flow, ErrClosed)
	c.stack.cfg.FlowClosed(c.flow)
}

// serve reads messages until the peer or a bound ends it.
func (c *conn) serve() {
	defer c.close()
	buf := make([]byte, 0, streamBuffer)
	wait := c.stack.cfg.StartTimeout
	for {
		_ = c.nc.SetReadDeadline(time.Now().Add(wait))
		var err error
		if buf, err = c.fill(buf); err != nil {
			return
		}
		if buf, err = c.take(buf); err != nil {
			return
		}
		wait = c.stack.cfg.IdleTimeout
		if len(buf) > 0 {
			wait = c.stack.cfg.StartTimeout // of the message that has begun
		}
	}
}

const streamBuffer = 4096

// take handles every whole message in buf and gives back what is left over.
func (c *conn) take(buf []byte) ([]byte, error) {
	rest := buf
	for {
		var pings int
		if rest, pings = takePings(rest); pings > 0 {
			if err := c.send([]byte("\r\n")); err != nil { // RFC 5626 section 3.5.1
				return nil, err
			}
		}
		msg, after, err := frame(rest, c.stack.cfg.MaxMessageSize)
		if err != nil {
			_ = c.stack.receive(rest, c.flow) // answers 400 where it can
			return nil, err
		}
		if msg == nil {
			break
		}
		if err := c.stack.receive(msg, c.flow); err != nil {
			return nil, err
		}
		rest = after
	}
	if cap(buf) > 4*streamBuffer && len(rest) < streamBuffer {
		return append(make([]byte, 0, streamBuffer), rest...), nil
	}
	return append(buf[:0], rest...), nil
}

// fill reads once, making room as needed.
func (c *conn) fill(buf []byte) ([]byte, error) {
	if len(buf) == cap(buf) {
		buf = append(buf, 0)[:len(buf)]
	}
	n, err := c.nc.Read(buf[len(buf):cap(buf)])
	if n > 0 {
		err = nil
	}
	return buf[:len(buf)+n], err
}

// takePings removes leading line ends (RFC 3261 section 7.5) and counts the pings,
// each a double CRLF, among them.
func takePings(buf []byte) ([]byte, int) {
	pings := 0
	for bytes.HasPrefix(buf, []byte("\r\n\r\n")) {
		buf = buf[4:]
		pings++
	}
	return buf, pings
}

var errTooLarge = errors.New("message too large")

// frame cuts one message off the front of a stream's bytes. No message and no
// error: more bytes are needed.
func frame(buf []byte, limit int) (msg, rest []byte, err error) {
	m := bytes.TrimLeft(buf, "\r\n") // RFC 3261 section 7.5
	head, body := splitHead(m)
	if body == nil {
		if len(m) > limit {
			return nil, nil, errTooLarge
		}
		return nil, nil, nil
	}
	n, err := framedLength(head)
	if err != nil {
		return nil, nil, err
	}
	begin := len(m) - len(body)
	switch {
	case begin+n > limit:
		return nil, nil, errTooLarge
	case n > len(body):
		return nil, nil, nil
	}
	return m[:begin+n], m[begin+n:], nil
}

// framedLength finds the Content-Length of a header. None is taken for 0: the
// request is then answered 400 by the parser, which has its Via.
func framedLength(head []byte) (int, error) {
	n := -1
	for line := range bytes.Lines(head) {
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || CanonicalName(strings.TrimRight(name, " \t")) != "Content-Length" {
			continue
		}
		v, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31)
		if err != nil || n >= 0 && n != int(v) {
			return 0, misframed("Bad Content-Length")
		}
		n = int(v)
	}
	return max(n, 0), nil
}

// send writes one message whole. A peer that does not read within the write
// timeout loses its connection: half a message cannot be taken back.
func (c *conn) send(b []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(c.stack.cfg.WriteTimeout))
	_, err := c.nc.Write(b)
	if err != nil {
		// The reader sees the closed connection and cleans up.
		_ = c.nc.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = io.ErrShortWrite
		}
	}
	return err
}

func (s *Stack) writeStream(f Flow, b []byte) error {
	c := s.conns.get(f)
	if c == nil {
		return ErrClosed
	}
	return c.send(b)
}

// Connect gives a flow to a peer that has none yet: over UDP from a socket that
// can reach it, over TCP by a connection that we opened ourselves to that very
// address, never by one that a client opened to us.
func (s *Stack) Connect(ctx context.Context, t Transport, remote netip.AddrPort) (Flow, error) {
	if t == UDP {
		u := s.socketFor(Flow{Remote: remote})
		if u == nil {
			return Flow{}, errors.New("no UDP socket reaches " + remote.String())
		}
		return Flow{Transport: UDP, Local: u.local, Remote: remote}, nil
	}
	if t != TCP {
		return Flow{}, errors.New("cannot connect over " + string(t))
	}
	if c := s.conns.opened(t, remote); c != nil {
		return c.flow, nil
	}
	d := net.Dialer{Timeout: s.cfg.WriteTimeout, KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		return Flow{}, err
	}
	local := unmap(nc.LocalAddr().(*net.TCPAddr).AddrPort())
	c := s.adopt(nc, Flow{Transport: t, Local: local, Remote: remote})
	if c == nil {
		return Flow{}, ErrBusy
	}
	s.conns.markOpened(c)
	go c.serve()
	return c.flow, nil
}
