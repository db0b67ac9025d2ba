package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestRFC4475 sends the torture messages and compares the responses with
// testdata/rfc4475/answers.txt, which has all of them.
func TestRFC4475(t *testing.T) {
	t.Parallel()
	for name, m := range tortureMessages(t, "../../testdata/rfc4475", 49) {
		for i, network := range []string{"udp", "tcp", "ws"} {
			t.Run(name+"/"+network, func(t *testing.T) {
				t.Parallel()
				s := serveIn(t, t.TempDir(), anyPort+webPort, "sip.domains = ['example.com', 'example.net', 'example.org']", "sip.start_timeout = '1s'")
				if got := s.torture(t, network, m.raw, m.answers[i]); got != m.answers[i] {
					t.Errorf("answered %s, want %s", got, m.answers[i])
				}
			})
		}
	}
}

// TestRFC5118 does the same with the IPv6 torture messages, over IPv6.
func TestRFC5118(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("there is no IPv6 here: ", err)
	} else {
		_ = l.Close()
	}
	for name, m := range tortureMessages(t, "../../testdata/rfc5118", 12) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveIn(t, t.TempDir(), "'tcp:[::1]:0'", "sip.start_timeout = '1s'",
				"sip.domains = ['example.com', 'host.example.net', '2001:db8::10', '2001:db8::192.0.2.1']")
			if got := s.torture(t, "tcp", m.raw, m.answers[0]); got != m.answers[0] {
				t.Errorf("answered %s, want %s", got, m.answers[0])
			}
		})
	}
}

// A tortured is a message with the expected responses by transport.
type tortured struct {
	raw     []byte
	answers []string
}

// tortureMessages reads the n messages of a directory, and answers.txt.
func tortureMessages(t *testing.T, dir string, n int) map[string]tortured {
	t.Helper()
	data, err := os.ReadFile(dir + "/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	messages := map[string]tortured{}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, f[0]+".dat"))
		if err != nil {
			t.Fatal(err)
		}
		messages[f[0]] = tortured{raw, f[1:]}
	}
	files, err := filepath.Glob(dir + "/*.dat")
	if err != nil || len(files) != n || len(messages) != n {
		t.Fatalf("%d messages, %d expectations, %v", len(files), len(messages), err)
	}
	return messages
}

// webPort is added to anyPort for WebSockets.
const webPort = ", 'ws:127.0.0.1:0'"

var tortureSockets atomic.Int32

// tortureConn returns a connection for one message.
func (s *served) tortureConn(t *testing.T, network string, raw []byte) net.Conn {
	t.Helper()
	d := net.Dialer{}
	to := s.addr(network).String()
	switch network {
	case "udp":
		// Without rport the response goes to the port in Via, which is 5060 in all of
		// them: so each is sent from port 5060 of another address.
		n := tortureSockets.Add(1)
		d.LocalAddr = &net.UDPAddr{IP: net.IPv4(127, byte(128+os.Getpid()%100), byte(n>>8), byte(n)), Port: 5060}
	case "ws":
		ws, _, err := websocket.Dial(t.Context(), "ws://"+to, &websocket.DialOptions{Subprotocols: []string{"sip"}})
		if err != nil {
			t.Fatal(err)
		}
		return &webConn{t: t, ws: ws}
	}
	c, err := d.Dial(network, to)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A webConn is a WebSocket. Each Write sends a message, and each Read receives one.
type webConn struct {
	net.Conn
	t     *testing.T
	ws    *websocket.Conn
	until time.Time
}

func (c *webConn) SetReadDeadline(at time.Time) error { c.until = at; return nil }

func (c *webConn) Write(b []byte) (int, error) {
	return len(b), c.ws.Write(c.t.Context(), websocket.MessageBinary, b) // not all messages are text
}

func (c *webConn) Read(b []byte) (int, error) {
	ctx, cancel := context.WithDeadline(c.t.Context(), c.until)
	defer cancel()
	_, m, err := c.ws.Read(ctx)
	if ctx.Err() != nil {
		return 0, os.ErrDeadlineExceeded
	}
	return copy(b, m), err
}

func (c *webConn) Close() error { return c.ws.CloseNow() }

// torture sends a message on a new connection and returns the responses in the form of
// answers.txt. It reads as many responses as want has, or waits for the time silence if
// want has none. A datagram is repeated once, because silod does not answer the first one
// if the response would be larger than the request.
func (s *served) torture(t *testing.T, network string, raw []byte, want string) string {
	t.Helper()
	c := s.tortureConn(t, network, raw)
	defer c.Close()
	if _, err := c.Write(raw); err != nil {
		t.Fatal(err)
	}
	var got []string
	repeat := network == "udp" && want != "-"
	for len(got) <= strings.Count(want, ",") {
		wait := patience
		switch {
		case want == "-":
			wait = silence
		case repeat:
			wait = timerE
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		answer := make([]byte, 65536)
		n, err := c.Read(answer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && repeat:
			repeat = false
			if _, err := c.Write(raw); err != nil {
				t.Fatal(err)
			}
			continue
		case errors.Is(err, os.ErrDeadlineExceeded):
			return strings.Join(append(got, "-"), ",")
		case errors.Is(err, io.EOF) || err != nil && network != "udp":
			return strings.Join(append(got, "close"), ",")
		case err != nil:
			t.Fatal(err)
		}
		r := bufio.NewScanner(strings.NewReader(string(answer[:n])))
		for r.Scan() {
			if code, ok := strings.CutPrefix(r.Text(), "SIP/2.0 "); ok {
				got = append(got, code[:3])
			}
		}
	}
	slices.Sort(got) // two requests may be answered in any order
	return strings.Join(got, ",")
}
