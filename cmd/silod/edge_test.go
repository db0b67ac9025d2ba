package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Addresses of TestProxy*: the proxy's, and those of clients in documentation networks.
const (
	proxyIP = "127.0.0.5"
	client1 = "203.0.113.5"
	client2 = "203.0.113.6"

	believeProxy = "sip.proxy_protocol = ['" + proxyIP + "', '198.51.100.0/24']"
)

// v1 returns a PROXY header of version 1 for a client with port 40000.
func v1(client string) string {
	return "PROXY TCP4 " + client + " 192.0.2.1 40000 5061\r\n"
}

// v2 returns a PROXY header of version 2.
func v2(command, family byte, rest string) string {
	return "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{command, family, byte(len(rest) >> 8), byte(len(rest))}) + rest
}

// addrs5 are addresses in a header of version 2 for client1 with port 40000.
const addrs5 = "\xcb\x00\x71\x05" + "\xc0\x00\x02\x01" + "\x9c\x40" + "\x13\xc5"

// dialProxied opens a connection from the address of a proxy and writes the bytes of a header.
func (s *served) dialProxied(network, from, header string) net.Conn {
	s.t.Helper()
	c := s.dialFrom(from, network)
	if _, err := io.WriteString(c, header); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// through returns a user agent that connects from an address with a header.
func (s *served) through(network, from, header, user string) *ua {
	s.t.Helper()
	c := s.dialProxied(network, from, header)
	if network == "tls" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is self-signed
	}
	u := newUA(s.t, c, "sip:"+user+"@127.0.0.1")
	u.daemon = s.daemon
	return u
}

// A frames is a WebSocket with the address that browsers use.
type frames struct{ net.Conn }

func (frames) LocalAddr() net.Addr { return webAddr{} }

type webAddr struct{}

func (webAddr) Network() string { return "ws" }
func (webAddr) String() string  { return "x7tq.invalid" }

// web returns a user agent that connects over ws or wss, from an address with a PROXY header,
// and sends values of X-Forwarded-For.
func (s *served) web(network, from, header, user string, forwarded ...string) *ua {
	s.t.Helper()
	c := &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return s.dialProxied(network, from, header), nil
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is self-signed
	}}
	opt := &websocket.DialOptions{Subprotocols: []string{"sip"}, HTTPClient: c, HTTPHeader: http.Header{"X-Forwarded-For": forwarded}}
	ws, _, err := websocket.Dial(s.t.Context(), network+"://127.0.0.1/", opt)
	if err != nil {
		s.t.Fatal(err)
	}
	u := newUA(s.t, frames{websocket.NetConn(s.t.Context(), ws, websocket.MessageText)}, "sip:"+user+"@127.0.0.1")
	u.daemon = s.daemon
	return u
}

// source returns the source of an agent's requests as the daemon sees it: from the Via of an
// answer, which must be also in the list of connections.
func (u *ua) source() string {
	u.t.Helper()
	answer := u.ask(u.request("OPTIONS", "sip:127.0.0.1", "sip:127.0.0.1", ""))
	var host, port string
	for p := range strings.SplitSeq(header(answer, "Via"), ";") {
		if v, ok := strings.CutPrefix(p, "received="); ok {
			host = v
		}
		if v, ok := strings.CutPrefix(p, "rport="); ok {
			port = v
		}
	}
	if host == "" { // the Via has the address
		host, _, _ = net.SplitHostPort(u.conn.LocalAddr().String())
	}
	return host + " " + port
}

// edge starts a daemon with listeners for all transports behind a proxy.
func edge(t *testing.T, more ...string) *served {
	t.Helper()
	dir := t.TempDir()
	makeCertificate(t, dir, 1)
	return serveFile(t, dir, edgeLines(dir, more...)...)
}

func edgeLines(dir string, more ...string) []string {
	return append([]string{
		"sip.listen = ['udp:127.0.0.1:0', 'tcp:127.0.0.1:0', 'tls:127.0.0.1:0', 'ws:127.0.0.1:0', 'wss:127.0.0.1:0']",
		"sip.tls_certificate = '1.pem'", "sip.tls_private_key = '1.key'", "silo.add_date = 0", "mi.reply_dir = '" + dir + "/'",
	}, more...)
}

// TestProxyProtocol connects through a proxy with all kinds of headers. The client's address is
// the source in Via and in the list of connections; without one it is the proxy's.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy)
	for _, tt := range []struct{ header, want string }{
		{v1(client1), client1 + " 40000"},
		{"PROXY TCP6 2001:db8::5 2001:db8::1 40000 5061\r\n", "2001:db8::5 40000"},
		{"PROXY UNKNOWN\r\n", ""},
		{v2(0x21, 0x11, addrs5), client1 + " 40000"},
		{v2(0x21, 0x11, addrs5+"\x02\x00\x0bexample.org"), client1 + " 40000"},
		{v2(0x20, 0x00, ""), ""},
		{v2(0x21, 0x31, strings.Repeat("/", 216)), ""},
		{"", ""}, // the proxy's machine itself
	} {
		for _, network := range []string{"tcp", "tls", "ws", "wss"} {
			t.Run(network+" "+tt.header, func(t *testing.T) {
				var u *ua
				if strings.HasPrefix(network, "ws") {
					u = s.web(network, proxyIP, tt.header, "alice")
				} else {
					u = s.through(network, proxyIP, tt.header, "alice")
				}
				got := u.source()
				if tt.want != "" && got != tt.want || tt.want == "" && !strings.HasPrefix(got, proxyIP+" ") {
					t.Errorf("the source is %s", got)
				}
				if got := s.connection(got); got != strings.ToUpper(network) {
					t.Errorf("in the list of connections it is %q", got)
				}
			})
		}
	}
}

// connection returns the type of the last connection in the list with a source.
func (s *served) connection(source string) (transport string) {
	s.t.Helper()
	for _, n := range s.call("list_tcp_conns").Nodes {
		if nodeAttr(n, "src_ip")+" "+nodeAttr(n, "src_port") == source {
			transport = nodeAttr(n, "type")
		}
	}
	return transport
}

// TestProxyHeaderOfOthers checks that a header from another address is not believed, and neither
// is one that the client of a proxy sends.
func TestProxyHeaderOfOthers(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy)
	for _, h := range []string{v1(client1), v2(0x21, 0x11, addrs5), v2(0x20, 0, "")} {
		for _, network := range []string{"tcp", "tls", "ws", "wss"} {
			for from, first := range map[string]string{"127.0.0.6": "", proxyIP: v1("127.0.0.6")} {
				c := s.dialProxied(network, from, first+h)
				u := newUA(t, c, alice)
				if _, err := io.WriteString(c, u.text(bob, "hello")); err != nil {
					t.Log(err) // closed already
				}
				awaitClose(t, c)
			}
		}
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	for _, network := range []string{"ws", "wss"} {
		if got := s.web(network, "127.0.0.6", "", "alice", client1).source(); !strings.HasPrefix(got, "127.0.0.6 ") {
			t.Errorf("X-Forwarded-For from elsewhere: the source is %s", got)
		}
		if got := s.web(network, proxyIP, v1(client1), "alice", client2, proxyIP).source(); got != client1+" 40000" {
			t.Errorf("X-Forwarded-For of a client behind a PROXY header: the source is %s", got)
		}
	}
}

// awaitClose reads until the daemon has closed a connection.
func awaitClose(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Error("the connection is still open")
	}
}

// TestForwardedFor checks X-Forwarded-For from a proxy that speaks HTTP.
func TestForwardedFor(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy)
	for _, tt := range []struct {
		forwarded []string
		want      string // the port is that of the proxy's connection if none is given
	}{
		{[]string{client1}, client1 + " "},
		{[]string{"2001:db8::5"}, "2001:db8::5 "},
		{[]string{"[2001:db8::5]:40000"}, "2001:db8::5 40000"},
		{[]string{"127.0.0.1, " + client1}, client1 + " "},
		{[]string{"192.0.2.66", client1 + ", 198.51.100.7"}, client1 + " "},
		{[]string{"unknown"}, proxyIP + " "},
		{nil, proxyIP + " "},
	} {
		for _, network := range []string{"ws", "wss"} {
			for _, h := range []string{"", v2(0x20, 0, "")} {
				if got := s.web(network, proxyIP, h, "alice", tt.forwarded...).source(); !strings.HasPrefix(got, tt.want) || strings.HasSuffix(got, " 0") {
					t.Errorf("%s, %q: the source is %q", network, tt.forwarded, got)
				}
			}
		}
	}
}

// TestProxyHeaderIsBounded sends no header, parts of headers, wrong and huge ones. Each
// connection is closed in time, and others are served meanwhile.
func TestProxyHeaderIsBounded(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, "sip.start_timeout = '1s'")
	huge := v2(0x20, 0, strings.Repeat("x", 65535))
	var conns []net.Conn
	for _, network := range []string{"tcp", "tls", "ws", "wss"} {
		for _, h := range []string{
			"", "P", "PROXY TCP4 ", v1(client1)[:20], "\r\n\r\n", v2(0x21, 0x11, addrs5)[:20], v1(client1), v2(0x20, 0, ""),
			"PROXY TCP4 " + strings.Repeat("1", 200), "PROXY X\r\n", v2(0x31, 0x11, addrs5), v2(0x21, 0x11, "x"), huge[:5000],
		} {
			conns = append(conns, s.dialProxied(network, proxyIP, h))
		}
		slow := s.dialProxied(network, proxyIP, "")
		go func() {
			for _, b := range []byte("PROXY UNKNOWN " + strings.Repeat("x", 80)) {
				if _, err := slow.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(50 * time.Millisecond)
			}
		}()
		conns = append(conns, slow)
	}
	if got := s.through("tcp", proxyIP, v1(client1), "alice").source(); got != client1+" 40000" {
		t.Errorf("the source is %s", got)
	}
	for _, c := range conns {
		awaitClose(t, c)
	}
	s.eventually("closing all connections", func() bool { return s.daemon.transport.Open() <= 1 })
	if !strings.Contains(s.log.String(), "connection of a proxy closed") {
		t.Error("the log does not name the reason")
	}
}

// TestProxyHeaderEndsWithDaemon stops a daemon while it waits for a header.
func TestProxyHeaderEndsWithDaemon(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, "sip.start_timeout = '10m'")
	var conns []net.Conn
	for _, network := range []string{"tcp", "tls", "ws", "wss"} {
		conns = append(conns, s.dialProxied(network, proxyIP, "PROXY "))
	}
	s.eventually("accepting", func() bool { return s.daemon.transport.Open() == len(conns) })
	s.stop()
	for _, c := range conns {
		awaitClose(t, c)
	}
}

// TestProxyReload adds and removes a proxy while silod runs.
func TestProxyReload(t *testing.T) {
	t.Parallel()
	s := edge(t)
	believed := func() bool {
		return s.web("ws", proxyIP, "", "alice", client1).source()[:len(client1)] == client1
	}
	if believed() {
		t.Error("X-Forwarded-For is believed by default")
	}
	if got := s.reloadWith(edgeLines(s.dir, believeProxy)...); fmt.Sprint(got) != "[sip.proxy_protocol now]" {
		t.Errorf("changed: %q", got)
	}
	open := s.through("tcp", proxyIP, v1(client1), "alice")
	if got := open.source(); !believed() || got != client1+" 40000" {
		t.Errorf("after a reload the source is %s", got)
	}
	s.reloadWith(edgeLines(s.dir)...)
	if believed() {
		t.Error("a proxy that was removed is believed")
	}
	if got := open.source(); got != client1+" 40000" {
		t.Errorf("an open connection has changed its source to %s", got)
	}
	awaitClose(t, s.dialProxied("tcp", proxyIP, v1(client1)+"\r\n\r\nx"))
}
