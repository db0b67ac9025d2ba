package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// A link is a connected socket that sends and receives complete SIP messages.
type link interface {
	send(message []byte) error
	// receive returns the next message, which is valid until the next call.
	receive() ([]byte, error)
	deadline(t time.Time)
	local() netip.AddrPort
	transport() string // for Via
	close()
}

// receiveBuffer is the requested size of socket buffers. It is large, so that the load
// generator drops no packets.
const receiveBuffer = 16 << 20

// dial connects to a server.
func dial(ctx context.Context, network string, server netip.AddrPort) (link, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, fmt.Errorf("reach %s:%s: %w", network, server, err)
	}
	switch c := conn.(type) {
	case *net.UDPConn:
		_ = c.SetReadBuffer(receiveBuffer) // as much as the kernel grants
		_ = c.SetWriteBuffer(receiveBuffer)
		return &datagrams{conn: c, buf: make([]byte, 65536)}, nil
	case *net.TCPConn:
		return newStream(c), nil
	}
	return nil, fmt.Errorf("network %q is not udp or tcp", network)
}

type datagrams struct {
	conn *net.UDPConn
	buf  []byte
}

func (d *datagrams) send(m []byte) error {
	_, err := d.conn.Write(m)
	return err
}

func (d *datagrams) receive() ([]byte, error) {
	n, err := d.conn.Read(d.buf)
	return d.buf[:n], err
}

func (d *datagrams) deadline(t time.Time)  { _ = d.conn.SetReadDeadline(t) }
func (d *datagrams) local() netip.AddrPort { return d.conn.LocalAddr().(*net.UDPAddr).AddrPort() }
func (d *datagrams) transport() string     { return "UDP" }
func (d *datagrams) close()                { d.conn.Close() }

type stream struct {
	conn *net.TCPConn
	in   *bufio.Reader
	used int // length of the last message, which is still in the reader
}

func newStream(c *net.TCPConn) *stream {
	return &stream{conn: c, in: bufio.NewReaderSize(c, 256<<10)}
}

func (s *stream) send(m []byte) error {
	_, err := s.conn.Write(m)
	return err
}

// receive splits the stream by Content-Length. It leaves an incomplete message in the
// reader, so that no bytes are lost after a deadline.
func (s *stream) receive() ([]byte, error) {
	if _, err := s.in.Discard(s.used); err != nil {
		return nil, err
	}
	s.used = 0
	for want := 1; ; {
		if _, err := s.in.Peek(want); err != nil {
			return nil, err
		}
		have, _ := s.in.Peek(s.in.Buffered())
		n, err := frame(have)
		if err != nil {
			return nil, err
		}
		if n > 0 && n <= len(have) {
			s.used = n
			return have[:n], nil
		}
		want = max(n, len(have)+1)
		if want > s.in.Size() {
			return nil, errors.New("message does not fit the buffer")
		}
	}
}

// frame returns the length of the message at the beginning of b, 0 if its header is not
// complete. Empty lines before the message count.
func frame(b []byte) (int, error) {
	start := 0
	for start < len(b) && (b[start] == '\r' || b[start] == '\n') {
		start++
	}
	i := bytes.Index(b[start:], []byte("\r\n\r\n"))
	if i < 0 {
		return 0, nil
	}
	head := b[start : start+i+2]
	n, err := strconv.Atoi(string(header(head, "Content-Length", "l")))
	if err != nil || n < 0 {
		return 0, errors.New("message without a usable Content-Length")
	}
	return start + i + 4 + n, nil
}

func (s *stream) deadline(t time.Time)  { _ = s.conn.SetReadDeadline(t) }
func (s *stream) local() netip.AddrPort { return s.conn.LocalAddr().(*net.TCPAddr).AddrPort() }
func (s *stream) transport() string     { return "TCP" }
func (s *stream) close()                { s.conn.Close() }

// closed reports whether err means that the link has ended. Other errors, such as a port
// that is unreachable for a moment, are temporary.
func closed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
