package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// dialFrom opens a connection from another address, for example 127.0.0.66.
func (s *served) dialFrom(from, network string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.Dial("tcp", s.addr(network).String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// open reports whether the daemon has not closed a connection over which it sends nothing.
func open(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, context.DeadlineExceeded) || err != nil && strings.Contains(err.Error(), "timeout")
}

// ping returns an OPTIONS of a stranger.
func ping(c net.Conn) string {
	n := branches.Add(1)
	return fmt.Sprintf("OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP %s;branch=z9hG4bKp%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:x@elsewhere.example>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: ping-%[2]d@test\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", c.LocalAddr(), n)
}

// occupy opens connections from addresses in turn, each with an answered OPTIONS, and returns
// those that the daemon has not closed at once.
func (s *served) occupy(n int, from ...string) (conns []net.Conn) {
	s.t.Helper()
	buf := make([]byte, 4096)
	for i := range n {
		c := s.dialFrom(from[i%len(from)], "tcp")
		_, _ = io.WriteString(c, ping(c))
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := c.Read(buf); err == nil {
			conns = append(conns, c)
		}
	}
	return conns
}

// TestStrangersLeaveRoom checks that neither one stranger nor many can take all connections:
// every other client gets in, and authenticated connections stay.
func TestStrangersLeaveRoom(t *testing.T) {
	t.Parallel()
	for name, from := range map[string][]string{
		"one":  {"127.0.0.66"},
		"many": {"127.0.1.1", "127.0.1.2", "127.0.1.3", "127.0.1.4", "127.0.1.5", "127.0.1.6", "127.0.1.7", "127.0.1.8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, "sip.max_connections = 100", "sip.source_connections = 0", "auth.source_others = '0'")
			b := s.phone("tcp", "bob")
			b.login(asBob)
			taken := s.occupy(300, from...)
			if len(taken) != 300 || s.daemon.transport.Open() != 100 {
				t.Errorf("%d connections were served, %d are open", len(taken), s.daemon.transport.Open())
			}
			for i := range 150 { // more phones than there are connections
				a := s.phoneFrom("tcp", fmt.Sprintf("127.0.2.%d", 1+i%20), "alice")
				if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 200 {
					t.Fatalf("phone %d was answered\n%s", i, got)
				}
				_ = a.conn.Close()
				_ = b.next()
			}
			if st := &s.daemon.transport.Stats; st.DisplacedConns.Value() < 200 || st.RefusedConnects.Value() != 0 {
				t.Errorf("%d connections made room, %d were refused", st.DisplacedConns.Value(), st.RefusedConnects.Value())
			}
			for _, c := range taken {
				_ = c.Close()
			}
			s.eventually("the end of the strangers' connections", func() bool {
				return s.daemon.transport.Open() == 1 && s.daemon.transport.Connections() == 1
			})
		})
	}
}

// TestAuthenticatedConnectionsStay checks that connections of users make no room, and that a
// new one is then refused.
func TestAuthenticatedConnectionsStay(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "sip.max_connections = 3")
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	b.login(asBob)
	if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 200 {
		t.Fatalf("answered\n%s", got)
	}
	trusted := s.phone("tcp", "alice")
	trusted.login(asAlice)
	if refused := s.occupy(5, "127.0.0.66"); len(refused) != 0 {
		t.Errorf("%d strangers were served", len(refused))
	}
	if got := a.proven(asAlice, a.text(bob, "hello")); status(got) != 200 {
		t.Errorf("answered\n%s", got)
	}
	if n := s.daemon.transport.Stats.RefusedConnects.Value(); n != 5 {
		t.Errorf("%d connections were refused", n)
	}
}

// TestConnectionsOfOneSource checks the limits for the connections of a source, and that
// trusted peers have none.
func TestConnectionsOfOneSource(t *testing.T) {
	t.Parallel()
	s := serveUsers(t, "sip.source_connections = 10", "sip.source_connects = '40/1h'", "auth.trusted = ['127.0.0.7']")
	mallory := s.occupy(30, "127.0.0.66")
	s.eventually("room for new connections", func() bool { return s.daemon.transport.Open() == 10 })
	if len(mallory) != 30 || open(mallory[0]) || !open(mallory[29]) {
		t.Errorf("%d connections were served; the oldest is open: %v, the newest: %v", len(mallory), open(mallory[0]), open(mallory[29]))
	}
	if n := len(s.occupy(20, "127.0.0.66")); n != 10 {
		t.Errorf("%d connections were served beyond the rate, want 10", n)
	}
	if n := s.daemon.transport.Stats.LimitedConnects.Value(); n != 10 {
		t.Errorf("%d connections are counted as limited", n)
	}
	if n := len(s.occupy(60, "127.0.0.7")); n != 60 || s.daemon.transport.Open() != 70 {
		t.Errorf("%d connections of a trusted peer were served, %d are open", n, s.daemon.transport.Open())
	}
	a := s.phone("tcp", "alice")
	a.login(asAlice)
	group := s.call("get_statistics", "sip:")
	if text := dump(group); !strings.Contains(text, "connections_limited") || !strings.Contains(text, "connections_unauthenticated") {
		t.Errorf("statistics: %s", text)
	}
}

// TestHandshakesOfOneSource checks the limit for TLS handshakes of a source.
func TestHandshakesOfOneSource(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, "sip.source_handshakes = '10/1h'", "auth.trusted = ['127.0.0.7']")
	shake := func(from, network string) bool {
		tc := tls.Client(s.dialFrom(from, network), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the server is not under test
		return tc.HandshakeContext(t.Context()) == nil
	}
	done := 0
	for i := range 50 {
		if shake("127.0.0.66", []string{"tls", "wss"}[i%2]) {
			done++
		}
	}
	if done != 10 {
		t.Errorf("%d handshakes, want 10", done)
	}
	if !shake("127.0.0.67", "tls") || len(s.occupy(1, "127.0.0.66")) != 1 {
		t.Error("another source has no handshake, or TCP is limited too")
	}
	for range 20 {
		if !shake("127.0.0.7", "tls") {
			t.Fatal("a trusted peer is limited")
		}
	}
}

// serveTLS starts a daemon with authentication and a listener of each transport.
func serveTLS(t *testing.T, more ...string) *served {
	t.Helper()
	listen, lines := withTLS(t)
	s := serveIn(t, t.TempDir(), listen+", 'ws:127.0.0.1:0', 'wss:127.0.0.1:0'", append(append(lines, withDigest), more...)...)
	s.addUsers()
	return s
}

// TestStrangersConnectionsEnd checks that a connection without an authenticated request ends
// after sip.auth_timeout, whatever its peer sends, and that others stay.
func TestStrangersConnectionsEnd(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, "sip.auth_timeout = '4s'", "sip.start_timeout = '1m'", "auth.trusted = ['127.0.0.7']", "auth.source_others = '0'")
	a := s.phone("tcp", "alice")
	a.login(asAlice)
	peer := s.dialFrom("127.0.0.7", "tcp")
	stay, stop := context.WithCancel(t.Context())
	defer stop()
	repeat := func(c net.Conn, text string) net.Conn {
		go func() {
			for stay.Err() == nil {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		}()
		return c
	}
	secure := func(network string) net.Conn {
		tc := tls.Client(s.dialFrom("127.0.0.66", network), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the server is not under test
		if err := tc.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return tc
	}
	request, hello := s.dialFrom("127.0.0.66", "tcp"), s.dialFrom("127.0.0.66", "tls")
	_, _ = io.WriteString(hello, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") // the start of a ClientHello
	for name, c := range map[string]net.Conn{
		"silent":                  s.dialFrom("127.0.0.66", "tcp"),
		"after requests":          repeat(request, ping(request)),
		"keep-alives":             repeat(s.dialFrom("127.0.0.66", "tcp"), "\r\n\r\n"),
		"a message byte by byte":  repeat(s.dialFrom("127.0.0.66", "tcp"), "M"),
		"silent over TLS":         secure("tls"),
		"no handshake":            s.dialFrom("127.0.0.66", "tls"),
		"part of a handshake":     repeat(hello, "\x00"),
		"no upgrade":              s.dialFrom("127.0.0.66", "ws"),
		"an upgrade byte by byte": repeat(s.dialFrom("127.0.0.66", "ws"), "G"),
		"no upgrade over TLS":     secure("wss"),
		"a WebSocket":             s.webSocket(t),
	} {
		_ = c.SetReadDeadline(time.Now().Add(6 * patience))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the connection is open", name)
		}
	}
	s.eventually("the end of all others", func() bool { return s.daemon.transport.Open() == 2 })
	if !open(peer) {
		t.Error("the connection of a trusted peer is closed")
	}
	if got := a.proven(asAlice, a.text(alice, "to myself")); status(got) != 200 {
		t.Errorf("alice was answered\n%s", got)
	}
	if st := &s.daemon.transport.Stats; st.ExpiredConns.Value() != 11 {
		t.Errorf("%d connections are counted as expired", st.ExpiredConns.Value())
	}
}

// webSocket opens a WebSocket whose peer sends pings and a request.
func (s *served) webSocket(t *testing.T) net.Conn {
	t.Helper()
	ws, _, err := websocket.Dial(t.Context(), "ws://"+s.addr("ws").String(), &websocket.DialOptions{Subprotocols: []string{"sip"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ws.CloseNow() })
	go func() {
		for ws.Ping(t.Context()) == nil {
			time.Sleep(20 * time.Millisecond)
		}
	}()
	c := websocket.NetConn(t.Context(), ws, websocket.MessageText)
	_, _ = io.WriteString(c, ping(c))
	return c
}

// TestConnectionsWithoutDigest checks that without authentication a connection stays after a
// request, and ends without one.
func TestConnectionsWithoutDigest(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.auth_timeout = '3s'")
	a := s.phone("tcp", "alice")
	if got := a.message(bob, "hello"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	silent := s.dialFrom("127.0.0.66", "tcp")
	_ = silent.SetReadDeadline(time.Now().Add(6 * patience))
	if _, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("a silent connection: %v", err)
	}
	if got := a.message(bob, "hello again"); got != 202 {
		t.Errorf("answered %d", got)
	}
}

// TestSourceLimitsReload checks that a reload changes the limits for connections.
func TestSourceLimitsReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	base := []string{"sip.listen = ['tcp:127.0.0.1:0']", "mi.reply_dir = '" + filepath.Clean(dir) + "/'"}
	s := serveFile(t, dir, base...)
	if n := len(s.occupy(5, "127.0.0.66")); n != 5 {
		t.Errorf("%d connections were served", n)
	}
	s.reloadWith(append(base, "sip.source_connections = 5")...)
	if n := len(s.occupy(5, "127.0.0.66")); n != 0 {
		t.Errorf("%d connections were served above the new limit", n)
	}
	s.reloadWith(base...)
	if n := len(s.occupy(5, "127.0.0.66")); n != 5 {
		t.Errorf("%d connections were served", n)
	}
}
