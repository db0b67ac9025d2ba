package transaction

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

var echo = serve(func(r *ServerTx) { r.Respond(200, string(r.Request.Body)) })

// RFC 3261 section 7.3.1: a Content-Length may be folded as any other header.
func TestFoldedContentLength(t *testing.T) {
	_, _, tcp := running(t, Config{}, echo)
	c := dial(t, "tcp", tcp)
	for i, folded := range []string{"Content-Length:\r\n 2", "l\t:\n\t\r\n 2"} {
		send(t, c, strings.Replace(message(c, fmt.Sprintf("z9hG4bK%d", i)), "Content-Length: 2", folded, 1))
		if r := hear(t, c, patience); !strings.HasPrefix(r, "SIP/2.0 200 hi\r\n") {
			t.Errorf("%q: answered %q", folded, r)
		}
	}
}

// Some phones keep their connection open with a single line end, and a peer that
// sends nothing else takes no memory.
func TestLineEndsBetweenMessages(t *testing.T) {
	s, _, tcp := running(t, Config{StartTimeout: 300 * time.Millisecond}, echo)
	c := dial(t, "tcp", tcp)
	send(t, c, message(c, "z9hG4bK1")+"\r\n")
	hear(t, c, patience)
	if got := hear(t, c, 600*time.Millisecond); got != "" || s.sockets.Connections() != 1 {
		t.Errorf("a line end ended the connection: %q", got)
	}
	before := heap()
	for range 64 {
		send(t, c, strings.Repeat("\n", 1<<20))
	}
	send(t, c, message(c, "z9hG4bK2"))
	if r := hear(t, c, patience); status(r) != "200" {
		t.Errorf("behind line ends: %q", r)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("%d bytes are kept for line ends", grown)
	}
}

// A peer that sends byte after byte has no longer for a message than one that
// sends nothing, and one that only pings has not begun.
func TestSlowPeersAreCutOff(t *testing.T) {
	for _, tc := range []struct{ name, first, drip string }{
		{"a message that never ends", "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\nSubject: ", "x"},
		{"pings and no message", "", "\r\n\r\n"},
		{"a second message that never ends", "whole", "X: y\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, tcp := running(t, Config{StartTimeout: 500 * time.Millisecond}, echo)
			c := dial(t, "tcp", tcp)
			if tc.first == "whole" {
				tc.first = message(c, "z9hG4bK1") + "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\n"
			}
			send(t, c, tc.first)
			for end := time.Now().Add(patience); s.sockets.Connections() > 0 || s.sockets.Stats.Connections.Value() == 0; {
				if time.Now().After(end) {
					t.Fatal("the connection is still open")
				}
				_, _ = c.Write([]byte(tc.drip))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// A restart may have thousands of messages for the same proxy.
func TestOneConnectionForAllWhoWantOne(t *testing.T) {
	far, addrs := runningAll(t, Config{}, echo)
	near, _ := runningAll(t, Config{RootCAs: far.cas}, echo)
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS} {
		before := near.sockets.Stats.Connections.Value()
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := near.sockets.Connect(t.Context(), transport.Target{Transport: tr, Addr: addrs[tr], Name: "127.0.0.1"}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if n := near.sockets.Stats.Connections.Value() - before; n != 1 {
			t.Errorf("%s: %d connections were opened", tr, n)
		}
	}
}

// RFC 3261 section 18.1.1: a large request goes over TCP, if the peer takes it. A peer that
// does not is remembered; a limit of ours is not.
func TestPreferTCP(t *testing.T) {
	_, _, tcp := running(t, Config{}, echo)
	near, nearUDP, nearTCP := running(t, Config{MaxConnections: 1}, echo)
	flow := func(to netip.AddrPort) sip.Flow { return sip.Flow{Transport: sip.UDP, Local: nearUDP, Remote: to} }
	listen := func(addr string) net.Listener {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	gone := listen("127.0.0.1:0")
	addr := netip.MustParseAddrPort(gone.Addr().String())
	_ = gone.Close()
	if f, ok := near.sockets.PreferTCP(t.Context(), flow(addr)); ok || f != flow(addr) {
		t.Errorf("to a port without a listener: %s", f)
	}
	back := listen(addr.String())
	defer back.Close()
	if _, ok := near.sockets.PreferTCP(t.Context(), flow(addr)); ok {
		t.Error("a peer that took no connection was asked again at once")
	}
	full := dial(t, "tcp", nearTCP)
	await(t, "the connection", func() bool { return near.sockets.Open() == 1 })
	if _, ok := near.sockets.PreferTCP(t.Context(), flow(tcp)); ok {
		t.Error("a connection more than may be was opened")
	}
	_ = full.Close()
	await(t, "its end", func() bool { return near.sockets.Open() == 0 })
	if f, ok := near.sockets.PreferTCP(t.Context(), flow(tcp)); !ok || f.Transport != sip.TCP || f.Remote != tcp {
		t.Errorf("got %s, %v: our own limit was taken for the peer's refusal", f, ok)
	}
}

// A connection that closes while its REGISTER is being worked on must not leave a
// binding behind: the end of the flow is told again, and the stack does not stop
// before everybody knows.
func TestFlowThatEndsUnderItsHandler(t *testing.T) {
	closed, begun := make(chan sip.Flow, 10), make(chan struct{})
	release := make(chan struct{})
	_, _, tcp := running(t, Config{}, handler{handle: func(r *ServerTx) {
		close(begun)
		<-release
		r.Respond(200, "")
	}, closed: func(f sip.Flow) { closed <- f }})
	c := dial(t, "tcp", tcp)
	send(t, c, message(c, "z9hG4bK1"))
	<-begun
	_ = c.Close()
	first := <-closed
	close(release)
	select {
	case again := <-closed:
		if again != first {
			t.Errorf("told of %s, and then of %s", first, again)
		}
	case <-time.After(patience):
		t.Error("what the handler did to the flow stays for ever")
	}
}

func TestStoppingTellsOfEveryFlow(t *testing.T) {
	var mu sync.Mutex
	told := map[sip.Flow]bool{}
	t.Run("running", func(t *testing.T) {
		s, _, tcp := running(t, Config{}, handler{handle: func(r *ServerTx) { r.Respond(200, string(r.Request.Body)) }, closed: func(f sip.Flow) {
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			told[f] = true
		}})
		for i := range 10 {
			c := dial(t, "tcp", tcp)
			send(t, c, message(c, fmt.Sprint("z9hG4bK", i)))
			hear(t, c, patience)
		}
		if s.sockets.Connections() != 10 {
			t.Error("not all are connected")
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 10 {
		t.Errorf("told of %d ends before the stack has stopped", len(told))
	}
}

// An HTTP client that announces a body and sends none holds no connection.
func TestHalfARequestOnTheWebSocketPort(t *testing.T) {
	s, addrs := runningAll(t, Config{StartTimeout: 300 * time.Millisecond}, echo)
	var conns []net.Conn
	for range 5 {
		c := dial(t, "tcp", addrs[sip.WS])
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		conns = append(conns, c)
	}
	for end := time.Now().Add(patience); s.sockets.Open() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d connections are still open", s.sockets.Open())
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range conns {
		if r := hear(t, c, patience); !strings.Contains(r, http.StatusText(http.StatusBadRequest)) && r != "" {
			t.Errorf("answered %q", r)
		}
	}
}

// A WebSocket message that is begun and never ended is no reason to wait for hours.
func TestSlowWebSocketIsCutOff(t *testing.T) {
	s, addrs := runningAll(t, Config{StartTimeout: 500 * time.Millisecond}, echo)
	c := dialWS(t, sip.WS, addrs[sip.WS])
	if err := c.Write(t.Context(), 1, []byte(message(dial(t, "tcp", addrs[sip.WS]), "z9hG4bK1"))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := c.Writer(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); s.sockets.Connections() > 0; {
		if time.Now().After(end) {
			t.Fatal("the connection is still open")
		}
		_, _ = w.Write([]byte(strings.Repeat("x", 512)))
		time.Sleep(50 * time.Millisecond)
	}
}

// A peer that takes nothing any more loses its connection, and whoever sends to it
// knows soon, however many they are.
func TestStuckPeerIsGivenUp(t *testing.T) {
	flows := make(chan sip.Flow, 1)
	s, addrs := runningAll(t, Config{WriteTimeout: 300 * time.Millisecond}, serve(func(r *ServerTx) {
		flows <- r.Flow
		r.Respond(200, "")
	}))
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		c := dial(t, "tcp", addrs[tr])
		if tr == sip.TLS || tr == sip.WSS {
			c = tls.Client(c, insecure())
		}
		hello := []byte(message(c, "z9hG4bK"+tr.String()))
		if tr == sip.WS || tr == sip.WSS {
			if err := converse(c, []byte(wsHello), "101 "); err != nil {
				t.Fatal(err)
			}
			hello = wsFrame(0x81, hello)
		}
		if err := converse(c, hello, "200 "); err != nil {
			t.Fatal(err)
		}
		flow := <-flows
		m := sip.Message{Method: "MESSAGE", URI: "sip:x@y", Body: make([]byte, 60_000)}
		results := make(chan Result, 1000)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 50 { // 60 MB, more than any buffer between us
					if _, err := s.Send(&m, sip.AoR{}, flow, results); err != nil {
						return
					}
				}
			})
		}
		all.Wait()
		await(t, "the connection is given up, and its calls with it", func() bool {
			_, calls := s.Transactions()
			return !s.sockets.Alive(flow) && calls == 0
		})
		if n := len(results); n == cap(results) {
			t.Errorf("%s: %d messages were sent to a peer that reads nothing", tr, n)
		}
	}
}
