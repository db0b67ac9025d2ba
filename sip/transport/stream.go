package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"silod/sip"
)

// streamListener accepts connections of one transport.
type streamListener struct {
	layer     *Layer
	transport sip.Transport
	ln        net.Listener
	local     netip.AddrPort
}

// listenStream opens a TCP listener, over which TLS and WebSocket go as well.
func (l *Layer) listenStream(ctx context.Context, t sip.Transport, addr netip.AddrPort) error {
	if (t == sip.TLS || t == sip.WSS) && l.certificate.Load() == nil {
		return errors.New("there is no certificate for it")
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(ctx, network("tcp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	local := unmap(ln.Addr().(*net.TCPAddr).AddrPort())
	ln = &boundListener{Listener: ln, layer: l}
	if t == sip.TLS || t == sip.WSS {
		ln = tls.NewListener(ln, l.serverTLS(t))
	}
	l.streams = append(l.streams, &streamListener{layer: l, transport: t, ln: ln, local: local})
	return nil
}

// keepAlive finds peers that vanished without a FIN.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4}

// accept serves a listener until it is closed.
func (l *streamListener) accept() error {
	if l.transport == sip.WS || l.transport == sip.WSS {
		return l.serveHTTP()
	}
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			return ignoreClosed(err)
		}
		// A TLS handshake happens at the first read, in the connection's goroutine
		// and under its deadline.
		if c := l.adopt(nc.RemoteAddr(), &bytePipe{nc: nc}); c != nil {
			go c.serve(nc)
		}
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// adopt makes a connection of what was accepted.
func (l *streamListener) adopt(from net.Addr, p pipe) *conn {
	remote, err := netip.ParseAddrPort(from.String())
	if err != nil {
		p.close()
		return nil
	}
	return l.layer.adopt(p, sip.Flow{Transport: l.transport, Local: l.local, Remote: unmap(remote)})
}

// boundListener accepts as many connections as the layer may have, and closes
// those beyond at once.
type boundListener struct {
	net.Listener
	layer *Layer
}

func (l *boundListener) Accept() (net.Conn, error) {
	for failures := 0; ; {
		nc, err := l.Listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil, err
		case err != nil:
			// A peer that was gone at once, or no room, which lasts for as long as
			// others stay: neither ends the listener, and neither must make it spin.
			if failures++; failures > 1000 && !noRoom(err) {
				return nil, err
			}
			l.layer.noise.Do(func() { l.layer.opt.Log.Warn("accept", "error", err) })
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if l.layer.open.Add(1) > int64(l.layer.opt.MaxConnections) {
			l.layer.open.Add(-1)
			l.layer.Stats.RefusedConnects.Inc()
			_ = nc.Close()
			continue
		}
		return &boundConn{Conn: nc, layer: l.layer}, nil
	}
}

// noRoom tells whether the system is short of what a connection needs.
func noRoom(err error) bool {
	for _, short := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, short) {
			return true
		}
	}
	return false
}

// boundConn gives its place back when it is closed.
type boundConn struct {
	net.Conn
	layer *Layer
	once  sync.Once
}

func (c *boundConn) Close() error {
	c.once.Do(func() { c.layer.open.Add(-1) })
	return c.Conn.Close()
}

// pipe is what carries whole messages to a peer: a byte stream or a WebSocket.
type pipe interface {
	write(b []byte, within time.Duration) error
	close()
}

// conn is one connection, accepted or opened.
type conn struct {
	layer  *Layer
	flow   sip.Flow
	pipe   pipe
	dialed dialKey         // "" where the peer opened it
	names  func() []string // see PeerNames
}

// adopt enters a connection into the table; nil when the layer is stopping.
func (l *Layer) adopt(p pipe, f sip.Flow) *conn {
	c := &conn{layer: l, flow: f, pipe: p}
	c.names = sync.OnceValue(func() []string { return l.namesOf(p) })
	if !l.conns.add(c) {
		p.close()
		return nil
	}
	l.Stats.Connections.Inc()
	return c
}

// close ends a connection once and tells those who count on its flow.
func (c *conn) close() {
	if !c.layer.conns.remove(c) {
		return
	}
	defer c.layer.conns.serving.Done()
	c.pipe.close()
	c.layer.receiver.FlowClosed(c.flow)
}

// send writes one message whole. A peer that does not take it within the write
// timeout loses its connection: half a message cannot be taken back.
func (c *conn) send(b []byte) error {
	err := c.pipe.write(b, c.layer.opt.WriteTimeout)
	if err != nil {
		c.pipe.close() // the reader sees that and cleans up
	}
	return err
}

// bytePipe is a TCP or TLS connection.
type bytePipe struct {
	nc net.Conn
	mu sync.Mutex // held while one message is written
}

func (p *bytePipe) write(b []byte, within time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.nc.SetWriteDeadline(time.Now().Add(within))
	_, err := p.nc.Write(b)
	return err
}

func (p *bytePipe) close() { _ = p.nc.Close() }

// serve reads messages until the peer or a bound ends it.
func (c *conn) serve(nc net.Conn) {
	defer c.close()
	opt := &c.layer.opt
	frames := sip.Framer{Limit: opt.MaxMessageSize}
	buf := make([]byte, 0, streamBuffer)
	due := time.Now().Add(opt.StartTimeout)
	for within, carried := false, false; ; {
		_ = nc.SetReadDeadline(due)
		var n int
		var err error
		if buf, err = fill(nc, buf); err != nil {
			return
		}
		if buf, n, err = c.take(buf, &frames); err != nil {
			time.Sleep(linger) // the requests before the bad one may still be answered
			return
		}
		carried = carried || n > 0
		switch begun := sip.MessageBegun(buf); {
		case begun && (n > 0 || !within):
			within, due = true, time.Now().Add(opt.StartTimeout) // for all of it, however it comes
		case !begun && carried:
			within, due = false, time.Now().Add(opt.IdleTimeout)
		}
	}
}

const (
	streamBuffer = 4096
	linger       = 500 * time.Millisecond
)

// take handles every whole message in buf, and gives back what is left over and
// their number.
func (c *conn) take(buf []byte, frames *sip.Framer) (left []byte, n int, err error) {
	rest := buf
	for ; ; n++ {
		var pings int
		if rest, pings = sip.SkipKeepAlives(rest); pings > 0 {
			if err := c.send([]byte("\r\n")); err != nil { // RFC 5626 section 3.5.1
				return nil, n, err
			}
		}
		msg, after, err := frames.Next(rest)
		if err != nil {
			_ = c.layer.receiveStream(rest[:min(len(rest), c.layer.opt.MaxMessageSize)], c.flow) // is answered 400 or 513 where it can be
			return nil, n, err
		}
		if msg == nil {
			break
		}
		if err := c.layer.receiveStream(msg, c.flow); err != nil {
			return nil, n, err
		}
		rest = after
	}
	if cap(buf) > 4*streamBuffer && len(rest) < streamBuffer {
		return append(make([]byte, 0, streamBuffer), rest...), n, nil
	}
	return append(buf[:0], rest...), n, nil
}

// fill reads once, making room as needed.
func fill(r io.Reader, buf []byte) ([]byte, error) {
	if len(buf) == cap(buf) {
		buf = append(buf, 0)[:len(buf)]
	}
	n, err := r.Read(buf[len(buf):cap(buf)])
	if n > 0 {
		err = nil
	}
	return buf[:len(buf)+n], err
}

func (l *Layer) writeStream(f sip.Flow, b []byte) error {
	c := l.conns.get(f)
	if c == nil {
		return ErrClosed
	}
	return c.send(b)
}
