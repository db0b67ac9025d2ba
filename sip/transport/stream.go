package transport

import (
	"io"
	"net"
	"sync"
	"time"

	"silod/sip"
)

// A bytePipe is a TCP or TLS connection.
type bytePipe struct {
	nc net.Conn
	mu sync.Mutex // held while one message is written
}

func (p *bytePipe) write(b []byte, timeout time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.nc.SetWriteDeadline(time.Now().Add(timeout))
	_, err := p.nc.Write(b)
	return err
}

func (p *bytePipe) close() { _ = p.nc.Close() }

const (
	streamBuffer = 4096                   // bytes
	linger       = 500 * time.Millisecond // before a connection is closed because of an error
)

// serve reads messages until the peer closes the connection, a deadline passes or the
// stream cannot be read on. The deadline of a message does not move while parts of it
// arrive.
func (c *conn) serve(nc net.Conn) {
	defer c.close()
	opt := &c.layer.opt
	framer := sip.Framer{Limit: opt.MaxMessageSize}
	buf := make([]byte, 0, streamBuffer)
	deadline := time.Now().Add(opt.StartTimeout)
	for inMessage, received := false, false; ; {
		_ = nc.SetReadDeadline(deadline)
		var n int
		var err error
		if buf, err = readMore(nc, buf); err != nil {
			return
		}
		if buf, n, err = c.receiveAll(buf, &framer); err != nil {
			time.Sleep(linger) // for the answers to earlier requests
			return
		}
		received = received || n > 0
		switch begun := sip.MessageBegun(buf); {
		case begun && (n > 0 || !inMessage):
			inMessage, deadline = true, time.Now().Add(opt.StartTimeout)
		case !begun && received:
			inMessage, deadline = false, time.Now().Add(opt.IdleTimeout)
		}
	}
}

// readMore reads once and appends to buf.
func readMore(r io.Reader, buf []byte) ([]byte, error) {
	if len(buf) == cap(buf) {
		buf = append(buf, 0)[:len(buf)]
	}
	n, err := r.Read(buf[len(buf):cap(buf)])
	if n > 0 {
		err = nil
	}
	return buf[:len(buf)+n], err
}

// receiveAll processes all complete messages in buf. It returns the rest of buf and the number
// of messages. It answers keep-alives (RFC 5626 section 3.5.1).
func (c *conn) receiveAll(buf []byte, framer *sip.Framer) (left []byte, n int, err error) {
	rest := buf
	for ; ; n++ {
		var pings int
		if rest, pings = sip.SkipKeepAlives(rest); pings > 0 {
			if err := c.send([]byte("\r\n")); err != nil {
				return nil, n, err
			}
		}
		msg, after, err := framer.Next(rest)
		if err != nil {
			// So that the Receiver answers it 400 or 513 if it can.
			_ = c.receive(rest[:min(len(rest), c.layer.opt.MaxMessageSize)])
			return nil, n, err
		}
		if msg == nil {
			break
		}
		if err := c.receive(msg); err != nil {
			return nil, n, err
		}
		rest = after
	}
	if cap(buf) > 4*streamBuffer && len(rest) < streamBuffer {
		return append(make([]byte, 0, streamBuffer), rest...), n, nil // frees the large buffer
	}
	return append(buf[:0], rest...), n, nil
}
