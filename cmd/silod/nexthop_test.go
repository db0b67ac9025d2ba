package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
)

// withTLS returns the lines of a configuration with a TLS listener.
func withTLS(t *testing.T) (listen string, lines []string) {
	t.Helper()
	ca := newAuthority(t)
	ca.make("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	return "'udp:127.0.0.1:0', 'tcp:127.0.0.1:0', 'tls:127.0.0.1:0'", []string{
		"sip.tls_certificate = '" + ca.file("server.pem") + "'", "sip.tls_private_key = '" + ca.file("server.key") + "'",
	}
}

// A message for a sips URI takes no hop without TLS, and is not stored.
func TestSIPSOverTLSOnly(t *testing.T) {
	t.Parallel()
	listen, lines := withTLS(t)
	s := serveIn(t, t.TempDir(), listen, lines...)
	const sips = "sips:bob@127.0.0.1"
	a, plain := s.phone("tcp", "alice"), s.phone("udp", "bob")
	if got := a.message(sips, "offline"); got != 480 {
		t.Errorf("offline: answered %d", got)
	}
	plain.register(300)
	answer := a.ask(a.request("MESSAGE", sips, sips, "secret", "Content-Type: text/plain"))
	if status(answer) != 480 || !strings.Contains(answer, "TLS") {
		t.Errorf("without a device over TLS: answered\n%s", answer)
	}
	c, err := tls.Dial("tcp", s.addr("tls").String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the server is not under test
	if err != nil {
		t.Fatal(err)
	}
	secure := newUA(t, c, bob)
	contact := fmt.Sprintf("Contact: <sips:bob@%s>", c.LocalAddr())
	register := strings.Replace(secure.request("REGISTER", "sip:127.0.0.1", bob, "", contact, "Expires: 300"), "SIP/2.0/TCP", "SIP/2.0/TLS", 1)
	if got := secure.ask(register); status(got) != 200 {
		t.Fatalf("REGISTER was answered\n%s", got)
	}
	s.settled()
	if got := a.message(sips, "secret"); got != 200 {
		t.Errorf("answered %d", got)
	}
	secure.wants("secret")
	plain.nothing()
	secure.autoReply.Store(486)
	if got := a.message(sips, "secret 2"); got != 486 {
		t.Errorf("a refusal: answered %d", got)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	if got := a.message(bob, "not secret"); got/100 != 2 {
		t.Errorf("answered %d", got)
	}
	plain.wants("not secret")
}

// A sips contact is reached over TLS only, however it was registered.
func TestSIPSContact(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '1s'")
	a, b := s.phone("tcp", "alice"), s.phone("udp", "bob")
	b.bind(fmt.Sprintf("<sips:bob@%s>", b.conn.LocalAddr()))
	if got := a.message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	b.nothing()
}

// The same for other domains, and for an outbound proxy.
func TestSIPSToOtherDomains(t *testing.T) {
	t.Parallel()
	f := listen(t, "127.0.0.3")
	for name, proxy := range map[string]string{"without a proxy": "", "with a proxy": "sip.outbound_proxy = 'sip:" + f.addr() + "'"} {
		s := serve(t, "auth.trusted = ['127.0.0.7 relay']", "auth.relay = 'trusted'", proxy)
		in := s.phoneFrom("tcp", "127.0.0.7", "alice")
		want := 502 // the port is closed for TCP
		if proxy != "" {
			want = 480
		}
		for _, scheme := range []string{"sips:", "SIPS:"} {
			if got := in.message(scheme+"dan@"+f.addr(), "secret"); got != want {
				t.Errorf("%s: %s answered %d", name, scheme, got)
			}
		}
		f.nothing()
	}
}

// An acceptor is a SIP server over TCP. It answers 200 to all requests.
type acceptor struct {
	t     *testing.T
	addr  string
	conns chan *ua
}

func accept(t *testing.T) *acceptor {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	a := &acceptor{t: t, addr: ln.Addr().String(), conns: make(chan *ua, 10)}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			a.conns <- newUA(t, c, "")
		}
	}()
	return a
}

// next returns the first request over the next connection.
func (a *acceptor) next() string {
	a.t.Helper()
	select {
	case u := <-a.conns:
		return u.next()
	case <-time.After(patience):
		a.t.Fatal("no connection came")
		return ""
	}
}

// The first proxy of a Path is the next hop (RFC 3327 section 5.3), and a strict router gets
// its own URI as the Request-URI (RFC 3261 section 16.6).
func TestPathIsDialed(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.phone("tcp", "alice")
	edge, strict, datagrams := accept(t), accept(t), listen(t, "127.0.0.1")
	const contact = "sip:bob@192.0.2.1:5060"
	for _, tc := range []struct {
		user, path, uri, route string
		next                   func() string
	}{
		{"loose", "sip:" + edge.addr + ";transport=tcp;lr", contact, "sip:" + edge.addr + ";transport=tcp;lr", edge.next},
		{"strict", "sip:" + strict.addr + ";transport=tcp", "sip:" + strict.addr + ";transport=tcp", contact, strict.next},
		{"udp", "sip:" + datagrams.addr() + ";lr", contact, "sip:" + datagrams.addr() + ";lr", datagrams.next},
	} {
		to := "sip:" + tc.user + "@127.0.0.1"
		s.call("ul_add", "location", to, contact, "300", "1", "<"+tc.path+">", "0", "0", "0")
		if got := a.message(to, "hello"); got != 200 {
			t.Errorf("%s: answered %d", tc.user, got)
		}
		if m := tc.next(); !strings.HasPrefix(m, "MESSAGE "+tc.uri+" SIP/2.0\r\n") || header(m, "Route") != "<"+tc.route+">" {
			t.Errorf("%s: got\n%s", tc.user, m)
		}
	}
}

// closedToTCP has connections to the address of an agent neither accepted nor refused.
func closedToTCP(t *testing.T, u *ua) {
	t.Helper()
	addr := u.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		t.Skipf("the port is in use for TCP: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	for range 3 {
		if c, err := net.DialTimeout("tcp4", addr.String(), 50*time.Millisecond); err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
	}
}

// A text that is too large for UDP reaches many devices at the same time, although a
// connection to each of them hangs, and the sender is answered within accept_timeout.
func TestLargeTextToManyDevices(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.accept_timeout = '2s'", "sip.large_over_udp = true")
	a := s.phone("tcp", "alice")
	var phones []*ua
	for i := range 12 {
		u := s.phone("udp", "bob")
		u.autoReply.Store(0)
		closedToTCP(t, u)
		u.bind(u.contact(fmt.Sprintf(`;+sip.instance="<urn:uuid:%d>"`, i)))
		phones = append(phones, u)
	}
	start := time.Now()
	if got := a.message(bob, strings.Repeat("x", 1500)); got != 202 {
		t.Errorf("answered %d", got)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("answered after %v", took)
	}
	for _, u := range phones {
		if len(u.requests) == 0 {
			t.Error("a device has not got the text")
		}
	}
}

// A message to a user with a thousand contacts at one address does not flood that address.
func TestContactsDoNotAmplify(t *testing.T) {
	t.Parallel()
	s := serve(t, "registrar.max_contacts = 1000", "sip.accept_timeout = '3s'")
	a, b := s.phone("tcp", "alice"), s.phone("udp", "bob")
	b.autoReply.Store(0)
	for i := range 10 {
		var contacts []string
		for j := range 100 {
			contacts = append(contacts, fmt.Sprintf("<sip:v%d@%s>", 100*i+j, b.conn.LocalAddr()))
		}
		b.bind(contacts...)
	}
	if got := a.message(bob, "hello"); got != 202 {
		t.Errorf("answered %d", got)
	}
	if n := len(b.requests); n == 0 || n > 20 {
		t.Errorf("%d packets in 3 s", n)
	}
}

// The proxy of a Path is dialled when its connection is closed, also after a restart of the
// server.
func TestPathIsDialedAnew(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	edge := accept(t)
	b := s.phone("tcp", "bob")
	path := "<sip:" + edge.addr + ";transport=tcp;lr>"
	if a := b.ask(b.request("REGISTER", "sip:127.0.0.1", bob, "", "Path: "+path, "Contact: <sip:bob@192.0.2.1:5060>", "Expires: 300")); status(a) != 200 {
		t.Fatalf("REGISTER was answered\n%s", a)
	}
	_ = b.conn.Close()
	s.eventually("the end of the connection", func() bool { return s.transport.Connections() == 0 })
	s.settled()
	for _, text := range []string{"1", "2"} {
		a := s.phone("udp", "alice")
		if got := a.message(bob, text); got != 200 {
			t.Errorf("%s: answered %d", text, got)
		}
		if m := edge.next(); body(m) != text || header(m, "Route") != path || !strings.HasPrefix(m, "MESSAGE sip:bob@192.0.2.1:5060 ") {
			t.Errorf("the proxy got\n%s", m)
		}
		if text == "1" {
			s = s.restart()
		}
	}
}

// A device that has registered a port at which it listens is reached there when its
// connection is closed while a message is under way.
func TestConnectionClosesDuringAMessage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, device, b := s.phone("udp", "alice"), accept(t), s.phone("tcp", "bob")
	b.autoReply.Store(0)
	b.bind("<sip:bob@" + device.addr + ";transport=tcp>")
	answered := make(chan int, 1)
	go func() { answered <- a.message(bob, "hello") }()
	b.next()
	_ = b.conn.Close()
	if m := device.next(); body(m) != "hello" {
		t.Errorf("got\n%s", m)
	}
	if got := <-answered; got != 200 {
		t.Errorf("answered %d", got)
	}
}
