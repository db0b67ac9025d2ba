package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// Errors of the connection to the SIP server. They are wrapped with its address, but for errTooLong.
var (
	errNoServer = errors.New("no SIP server answers") // refused, reset, or not resolved
	errNoAnswer = errors.New("no answer in time")
	errClosed   = errors.New("the user agent is closed")
	errTooLong  = errors.New("too long for a UDP datagram: use TCP")
)

// writeTimeout limits a write to a server that does not read.
const writeTimeout = 5 * time.Second

// An endpoint is the address of a SIP server and the transport to it.
type endpoint struct {
	network string // "udp", "tcp" or "tls"
	host    string // without brackets
	port    uint16 // 0 for the transport's own
}

// parseEndpoint parses "host", "host:port", "tcp:host:port" and SIP URIs.
func parseEndpoint(s string) (endpoint, error) {
	e := endpoint{network: "udp"}
	s = strings.TrimSpace(s)
	for _, network := range []string{"udp", "tcp", "tls"} {
		if rest, ok := strings.CutPrefix(s, network+":"); ok {
			e.network, s = network, rest
		}
	}
	if !strings.HasPrefix(s, "sip:") && !strings.HasPrefix(s, "sips:") {
		s = "sip:" + s
	}
	u, err := sip.ParseURI(s)
	if err != nil {
		return e, err
	}
	if t, ok := u.Params.Get("transport"); ok {
		e.network = strings.ToLower(t)
	}
	if u.Scheme == "sips" {
		e.network = "tls"
	}
	if e.network != "udp" && e.network != "tcp" && e.network != "tls" {
		return e, errors.New("the transport is not UDP, TCP or TLS")
	}
	e.host, e.port = strings.Trim(u.Host, "[]"), u.Port
	return e, nil
}

// addr returns the address to dial.
func (e endpoint) addr() string {
	port := e.port
	switch {
	case port != 0:
	case e.network == "tls":
		port = 5061
	default:
		port = 5060
	}
	return net.JoinHostPort(e.host, strconv.Itoa(int(port)))
}

// String returns the endpoint in the form of silod's sip.listen.
func (e endpoint) String() string { return e.network + ":" + e.addr() }

// reliable reports whether the transport retransmits by itself.
func (e endpoint) reliable() bool { return e.network != "udp" }

// unreachable returns an error that wraps errNoServer and the cause of err, with the address.
func (e endpoint) unreachable(err error) error {
	return fmt.Errorf("%w at %s: %w", errNoServer, e, rootCause(err))
}

// dial connects to the endpoint, over UDP too: the system then reports a closed port and drops
// datagrams from other addresses. local is the address to send from, or "". roots are the CAs to trust
// for TLS; nil stands for the system's. The error wraps errNoServer or errNoAnswer, unless the local
// address or the certificate is the cause.
func (e endpoint) dial(ctx context.Context, local string, roots *x509.CertPool) (*link, error) {
	network := e.network
	if network == "tls" {
		network = "tcp"
	}
	var d net.Dialer
	if local != "" {
		addr, err := resolveLocal(network, local)
		if err != nil {
			return nil, fmt.Errorf("local address %s: %w", local, err)
		}
		d.LocalAddr = addr
	}
	conn, err := d.DialContext(ctx, network, e.addr())
	if err == nil && e.network == "tls" {
		conn, err = e.secure(ctx, conn, roots)
	}
	switch {
	case err == nil:
		return &link{Conn: conn, server: e, gone: make(chan struct{}), reading: make(chan struct{}), refused: make(chan struct{}, 1)}, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w from %s", errNoAnswer, e)
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("local address %s: %w", local, rootCause(err))
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return nil, fmt.Errorf("%s: %w: give the file of its CA with --ca", e, err)
	}
	return nil, e.unreachable(err)
}

// secure runs the TLS handshake. It closes conn if that fails.
func (e endpoint) secure(ctx context.Context, conn net.Conn, roots *x509.CertPool) (net.Conn, error) {
	t := tls.Client(conn, &tls.Config{ServerName: e.host, RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err := t.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return t, nil
}

// resolveLocal parses a local address; without a port the system chooses one.
func resolveLocal(network, local string) (net.Addr, error) {
	if _, _, err := net.SplitHostPort(local); err != nil {
		local = net.JoinHostPort(strings.Trim(local, "[]"), "0")
	}
	if network == "tcp" {
		return net.ResolveTCPAddr(network, local)
	}
	return net.ResolveUDPAddr(network, local)
}

// rootCause removes the layers of an error that only repeat the address.
func rootCause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return err
}

// A link is the one connection to the server. sipgo gets it as a connection that it has accepted, or
// as a UDP socket that it listens on, so that requests in both directions share it. sipgo only logs the
// errors of a connection; a link keeps them for the request that waits.
type link struct {
	net.Conn
	server  endpoint
	reading chan struct{} // closed when sipgo begins to read: from then on it finds the link
	refused chan struct{} // the system reported a closed UDP port

	readOnce sync.Once
	endOnce  sync.Once
	gone     chan struct{} // closed when the link has ended
	cause    error         // the reason for the end; read only after gone is closed
}

// Read reads from the connection. A closed UDP port is reported to refused, and is not an error.
func (l *link) Read(b []byte) (int, error) {
	l.readOnce.Do(func() { close(l.reading) })
	for {
		n, err := l.Conn.Read(b)
		switch {
		case err == nil || n > 0:
			return n, nil
		case !l.server.reliable() && errors.Is(err, syscall.ECONNREFUSED):
			select { // the server may start again: only the request that waits fails
			case l.refused <- struct{}{}:
			default:
			}
		default:
			l.end(err)
			return 0, err
		}
	}
}

// Write sends a message. A closed port that was reported for an earlier datagram says nothing about
// this one, which is therefore sent again.
func (l *link) Write(b []byte) (int, error) {
	if err := l.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	n, err := l.Conn.Write(b)
	if err != nil && !l.server.reliable() && errors.Is(err, syscall.ECONNREFUSED) {
		n, err = l.Conn.Write(b)
	}
	if errors.Is(err, syscall.EMSGSIZE) {
		err = errTooLong
	}
	return n, err
}

// ReadFrom is Read. With WriteTo it makes the link a net.PacketConn, with one remote address.
func (l *link) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := l.Read(b)
	return n, l.RemoteAddr(), err
}

// WriteTo is Write. It ignores the address.
func (l *link) WriteTo(b []byte, _ net.Addr) (int, error) { return l.Write(b) }

// Close ends the link. sipgo calls it for a stream that it cannot parse, so that is the recorded
// reason, unless the link has ended before.
func (l *link) Close() error {
	l.end(errors.New("the server sent data that is not SIP"))
	return l.Conn.Close()
}

// end records the reason for the end of the link. Later calls do nothing.
func (l *link) end(cause error) {
	l.endOnce.Do(func() {
		if errors.Is(cause, io.EOF) {
			cause = errors.New("the server closed the connection")
		}
		l.cause = l.server.unreachable(cause)
		close(l.gone)
	})
}

// alive reports whether anything can still arrive.
func (l *link) alive() bool {
	select {
	case <-l.gone:
		return false
	default:
		return true
	}
}

// An accepted is a listener that accepts one connection, its link.
type accepted struct {
	link *link
	once sync.Once
}

// Accept returns the link. Further calls wait for its end and return net.ErrClosed.
func (a *accepted) Accept() (net.Conn, error) {
	var conn net.Conn
	if a.once.Do(func() { conn = a.link }); conn != nil {
		return conn, nil
	}
	<-a.link.gone
	return nil, net.ErrClosed
}

// Close closes the link.
func (a *accepted) Close() error { return a.link.Close() }

// Addr returns the local address of the link.
func (a *accepted) Addr() net.Addr { return a.link.LocalAddr() }

// A pooled is the link as a connection of sipgo's pool, under the addresses of both ends. It replaces
// sipgo's own connection, which limits datagrams to 1300 bytes and leaves the pool when the link ends,
// so that sipgo would open another socket to answer messages that have arrived before.
type pooled struct{ link *link }

// WriteMsg sends a message.
func (p pooled) WriteMsg(msg gosip.Message) error {
	var b bytes.Buffer
	msg.StringWrite(&b)
	_, err := p.link.Write(b.Bytes())
	return err
}

// LocalAddr returns the local address of the link.
func (p pooled) LocalAddr() net.Addr { return p.link.LocalAddr() }

// Ref does not count references: the flow closes the link.
func (p pooled) Ref(int) int { return 1 }

// TryClose leaves the link open.
func (p pooled) TryClose() (int, error) { return 1, nil }

// Close closes the link.
func (p pooled) Close() error { return p.link.Close() }
