package main

import (
	"strings"
	"testing"
)

// The proxy in a Path is dialed when it has closed its connection, and after a restart (RFC
// 3327 section 5.3).
func TestPathIsDialedAgain(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	edge := listenTCP(t, "127.0.0.1:0")
	path := "<sip:" + edge.addr() + ";transport=tcp;lr>"
	b := s.phone("tcp", "bob")
	b.mustRegisterAt("<sip:bob@192.168.77.1:5060>", "Path: "+path)
	_ = b.conn.Close()
	s.eventually("the end of the connection", func() bool {
		bs := s.location.Bindings(s.aor("bob"))
		return len(bs) == 1 && bs[0].Flow.IsZero()
	})
	for round := range 2 {
		a := s.phone("udp", "alice")
		answered := make(chan int, 1)
		go func() { answered <- a.message(bob, "hello") }()
		m := edge.accept().next()
		if header(m, "Route") != path || !strings.HasPrefix(m, "MESSAGE sip:bob@192.168.77.1:5060 ") || body(m) != "hello" {
			t.Errorf("the proxy got\n%s", m)
		}
		if got := <-answered; got != 200 {
			t.Errorf("answered %d", got)
		}
		if round == 0 {
			s = s.restart()
		}
	}
}
