package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// TestStrangersGetTheirAnswers checks that the connection of a server of another domain is closed
// between requests: one that is in progress at the end of sip.auth_timeout is answered.
func TestStrangersGetTheirAnswers(t *testing.T) {
	t.Parallel()
	s := serveTLS(t, "sip.auth_timeout = '1s'", "sip.accept_timeout = '20s'", "sip.idle_timeout = '1m'")
	b := s.phone("tcp", "bob")
	b.login(asBob)
	b.autoReply.Store(0)
	var wait sync.WaitGroup
	for i, network := range []string{"tcp", "tls", "ws"} {
		var u *ua
		if network == "ws" {
			u = s.web(network, "127.0.0.30", "", "x")
		} else {
			u = s.through(network, "127.0.0.30", "", "x")
		}
		u.aor = fmt.Sprintf(elsewhere, i)
		wait.Go(func() {
			if got := u.ask(u.text(bob, network)); status(got) != 200 {
				t.Errorf("%s: answered\n%s", network, got)
			}
			awaitEnd(u)
		})
	}
	held := []string{b.next(), b.next(), b.next()}
	time.Sleep(3 * time.Second) // the time is over
	if n := s.daemon.transport.Open(); n != 4 {
		t.Errorf("%d connections are open while requests are in progress", n)
	}
	for _, m := range held {
		b.reply(m, 200)
	}
	wait.Wait()
	s.eventually("the end of the strangers' connections", func() bool { return s.daemon.transport.Open() == 1 })
	if n := s.daemon.transport.Stats.ExpiredConns.Value(); n != 3 {
		t.Errorf("%d connections are counted as expired", n)
	}
}

// awaitEnd waits until the daemon has closed the connection of an agent.
func awaitEnd(u *ua) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := u.conn.Write([]byte("\r\n")); err != nil {
			return
		}
	}
	u.t.Error("the connection is still open")
}

// TestHandshakesBehindProxy checks that the limits of connections and handshakes are those of the
// client behind a proxy, also before the TLS handshake of a WebSocket.
func TestHandshakesBehindProxy(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, withDigest, "sip.source_handshakes = '10/1h'", "sip.auth_timeout = '1m'")
	s.addUsers()
	for i, network := range []string{"tls", "wss"} {
		done := 0
		for range 30 {
			if handshake(s.dialProxied(network, proxyIP, v1(fmt.Sprint("203.0.113.1", i)))) {
				done++
			}
		}
		if done != 10 {
			t.Errorf("%s: %d handshakes of a client, want 10", network, done)
		}
		for j := range 20 {
			if !handshake(s.dialProxied(network, proxyIP, v1(fmt.Sprintf("203.0.%d.%d", 114+i, j)))) {
				t.Fatalf("%s: another client has no handshake", network)
			}
		}
	}
	if n := s.daemon.transport.Stats.LimitedConnects.Value(); n != 40 {
		t.Errorf("%d connections are counted as limited", n)
	}
}

// handshake reports whether a TLS handshake over a connection succeeds.
func handshake(c net.Conn) bool {
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the certificate is self-signed
	return tc.Handshake() == nil
}

// TestConnectionsBehindProxy checks that a client behind a proxy makes room by its own
// connections only, that users stay, and that the proxy has no limit.
func TestConnectionsBehindProxy(t *testing.T) {
	t.Parallel()
	s := edge(t, believeProxy, withDigest, "sip.source_connections = 5", "auth.source_others = '0'", "auth.trusted = ['"+client2+"']")
	s.addUsers()
	of := map[string]func(network, client string) *ua{
		"PROXY":           func(network, client string) *ua { return s.through(network, proxyIP, v1(client), "alice") },
		"PROXY and HTTP":  func(network, client string) *ua { return s.web(network, proxyIP, v1(client), "alice") },
		"X-Forwarded-For": func(network, client string) *ua { return s.web(network, proxyIP, "", "alice", client) },
	}
	for i, tt := range []struct{ by, network string }{
		{"PROXY", "tcp"}, {"PROXY", "tls"}, {"PROXY and HTTP", "ws"}, {"PROXY and HTTP", "wss"}, {"X-Forwarded-For", "ws"}, {"X-Forwarded-For", "wss"},
	} {
		client := func(n int) string { return fmt.Sprintf("203.0.113.%d", 100+10*i+n) }
		open := func(n int) *ua {
			u := of[tt.by](tt.network, client(n))
			u.source()
			return u
		}
		other, user := open(1), open(2)
		if got := user.proven(asAlice, user.text(bob, "hello")); status(got) != 202 {
			t.Fatalf("%v: answered\n%s", tt, got)
		}
		var all []*ua
		for range 20 {
			all = append(all, open(2))
		}
		s.eventually("the end of the oldest connections", func() bool { return s.connections(client(2)) == 5 })
		for _, u := range []*ua{other, user, all[19]} {
			u.source() // is served
		}
		for range 20 {
			of[tt.by](tt.network, client2).source()
		}
	}
	if n := s.connections(client2); n != 120 {
		t.Errorf("%d connections of a trusted peer behind a proxy", n)
	}
	var direct []*ua
	for range 10 {
		u := s.through("tcp", proxyIP, "", "alice")
		u.source()
		direct = append(direct, u)
	}
	s.eventually("the end of the oldest connections of the proxy", func() bool { return s.connections(proxyIP) == 5 })
	direct[9].source()
}

// connections returns the number of connections in the list that an address has.
func (s *served) connections(address string) (n int) {
	for _, node := range s.call("list_tcp_conns").Nodes {
		if nodeAttr(node, "src_ip") == address {
			n++
		}
	}
	return n
}
