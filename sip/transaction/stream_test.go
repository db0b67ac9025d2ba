package transaction

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/sip/internal/siptest"

	"silod/sip"
	"silod/sip/transport"
)

// TestFoldedContentLength checks that a Content-Length may be folded like any header field
// (RFC 3261 section 7.3.1).
func TestFoldedContentLength(t *testing.T) {
	_, _, tcp := runLayers(t, config{}, echo)
	c := dial(t, "tcp", tcp)
	for i, folded := range []string{"Content-Length:\r\n 2", "l\t:\n\t\r\n 2"} {
		send(t, c, strings.Replace(message(c, fmt.Sprintf("z9hG4bK%d", i)), "Content-Length: 2", folded, 1))
		if r := receive(t, c, timeout); !strings.HasPrefix(r, "SIP/2.0 200 hi\r\n") {
			t.Errorf("%q: answered %q", folded, r)
		}
	}
}

// TestLineEndsBetweenMessages checks that a single line end, which some clients send as a
// keep-alive, does not close the connection, and that line ends need no memory.
func TestLineEndsBetweenMessages(t *testing.T) {
	s, _, tcp := runLayers(t, config{StartTimeout: 300 * time.Millisecond}, echo)
	c := dial(t, "tcp", tcp)
	send(t, c, message(c, "z9hG4bK1")+"\r\n")
	receive(t, c, timeout)
	if got := receive(t, c, 600*time.Millisecond); got != "" || s.sockets.Connections() != 1 {
		t.Errorf("a line end closed the connection: %q", got)
	}
	before := heap()
	for range 64 {
		send(t, c, strings.Repeat("\n", 1<<20))
	}
	send(t, c, message(c, "z9hG4bK2"))
	if r := receive(t, c, timeout); status(r) != "200" {
		t.Errorf("after line ends: %q", r)
	}
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("%d bytes are not freed after line ends", grown)
	}
}

// TestSlowPeersAreCutOff checks that StartTimeout covers a whole message, even if its bytes
// are sent one by one, and that pings are not a message.
func TestSlowPeersAreCutOff(t *testing.T) {
	for _, tc := range []struct{ name, first, drip string }{
		{"a message that never ends", "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\nSubject: ", "x"},
		{"pings only", "", "\r\n\r\n"},
		{"a second message that never ends", "whole", "X: y\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, tcp := runLayers(t, config{StartTimeout: 500 * time.Millisecond}, echo)
			c := dial(t, "tcp", tcp)
			if tc.first == "whole" {
				tc.first = message(c, "z9hG4bK1") + "MESSAGE sip:bob@127.0.0.1 SIP/2.0\r\n"
			}
			send(t, c, tc.first)
			for end := time.Now().Add(timeout); s.sockets.Connections() > 0 || s.sockets.Stats.Connections.Value() == 0; {
				if time.Now().After(end) {
					t.Fatal("the connection is still open")
				}
				_, _ = c.Write([]byte(tc.drip))
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
}

// TestConcurrentConnect checks that concurrent calls of Connect for one target open one
// connection.
func TestConcurrentConnect(t *testing.T) {
	far, addrs := runAllTransports(t, config{}, echo)
	near, _ := runAllTransports(t, config{RootCAs: far.cas}, echo)
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

// TestPreferTCP checks that PreferTCP connects to the peer (RFC 3261 section 18.1.1), and does
// not try again if the peer did not accept. MaxConnections is not an error of the peer.
func TestPreferTCP(t *testing.T) {
	_, _, tcp := runLayers(t, config{}, echo)
	near, nearUDP, nearTCP := runLayers(t, config{MaxConnections: 1}, echo)
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
		t.Error("PreferTCP tried a peer again immediately")
	}
	full := dial(t, "tcp", nearTCP)
	send(t, full, message(full, "z9hG4bK1")) // from now on it makes no room for others
	if got := receive(t, full, timeout); status(got) != "200" {
		t.Fatalf("answered\n%s", got)
	}
	if _, ok := near.sockets.PreferTCP(t.Context(), flow(tcp)); ok {
		t.Error("a connection above the limit was opened")
	}
	_ = full.Close()
	await(t, "the connection is closed", func() bool { return near.sockets.Open() == 0 })
	if f, ok := near.sockets.PreferTCP(t.Context(), flow(tcp)); !ok || f.Transport != sip.TCP || f.Remote != tcp {
		t.Errorf("got %s, %v: our own limit was recorded as an error of the peer", f, ok)
	}
}

// TestFlowClosedDuringHandler checks that FlowClosed is called again after Handle and after
// Work, which may have stored the flow after the first call.
func TestFlowClosedDuringHandler(t *testing.T) {
	for _, inWork := range []bool{false, true} {
		closed, begun, release := make(chan sip.Flow, 10), make(chan struct{}), make(chan struct{})
		f := func(tx *ServerTx) {
			close(begun)
			<-release
			tx.Respond(200, "")
		}
		h := handler{handle: f, closed: func(f sip.Flow) { closed <- f }}
		if inWork {
			h.handle, h.work = nil, func(tx *ServerTx) Work { return func(context.Context) { f(tx) } }
		}
		_, _, tcp := runLayers(t, config{}, h)
		c := dial(t, "tcp", tcp)
		send(t, c, message(c, "z9hG4bK1"))
		<-begun
		_ = c.Close()
		first := <-closed
		close(release)
		select {
		case again := <-closed:
			if again != first {
				t.Errorf("FlowClosed was called for %s and then for %s", first, again)
			}
		case <-time.After(timeout):
			t.Error("FlowClosed was not called again")
		}
	}
}

// TestFlowClosedWhenStopping checks that FlowClosed has been called for each connection when Run
// returns.
func TestFlowClosedWhenStopping(t *testing.T) {
	var mu sync.Mutex
	closed := map[sip.Flow]bool{}
	t.Run("running", func(t *testing.T) {
		s, _, tcp := runLayers(t, config{}, handler{handle: func(tx *ServerTx) { tx.Respond(200, string(tx.Request.Body)) }, closed: func(f sip.Flow) {
			time.Sleep(50 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			closed[f] = true
		}})
		for i := range 10 {
			c := dial(t, "tcp", tcp)
			send(t, c, message(c, fmt.Sprint("z9hG4bK", i)))
			receive(t, c, timeout)
		}
		if s.sockets.Connections() != 10 {
			t.Error("not all connections are open")
		}
	})
	mu.Lock()
	defer mu.Unlock()
	if len(closed) != 10 {
		t.Errorf("FlowClosed was called for %d flows before Run returned", len(closed))
	}
}

// TestIncompleteHTTPRequest checks that the connection of a client that announces a body and
// does not send it is closed.
func TestIncompleteHTTPRequest(t *testing.T) {
	s, addrs := runAllTransports(t, config{StartTimeout: 300 * time.Millisecond}, echo)
	var conns []net.Conn
	for range 5 {
		c := dial(t, "tcp", addrs[sip.WS])
		send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
		conns = append(conns, c)
	}
	for end := time.Now().Add(timeout); s.sockets.Open() > 0; {
		if time.Now().After(end) {
			t.Fatalf("%d connections are still open", s.sockets.Open())
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, c := range conns {
		if r := receive(t, c, timeout); !strings.Contains(r, http.StatusText(http.StatusBadRequest)) && r != "" {
			t.Errorf("answered %q", r)
		}
	}
}

// TestSlowWebSocketIsCutOff checks that StartTimeout covers a whole WebSocket message.
func TestSlowWebSocketIsCutOff(t *testing.T) {
	s, addrs := runAllTransports(t, config{StartTimeout: 500 * time.Millisecond}, echo)
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
	for end := time.Now().Add(timeout); s.sockets.Connections() > 0; {
		if time.Now().After(end) {
			t.Fatal("the connection is still open")
		}
		_, _ = w.Write([]byte(strings.Repeat("x", 512)))
		time.Sleep(50 * time.Millisecond)
	}
}

// TestStuckPeerIsGivenUp checks that the connection of a peer that reads nothing is closed,
// and that all concurrent sends to it fail soon.
func TestStuckPeerIsGivenUp(t *testing.T) {
	flows := make(chan sip.Flow, 1)
	s, addrs := runAllTransports(t, config{WriteTimeout: 300 * time.Millisecond}, serve(func(tx *ServerTx) {
		flows <- tx.Flow
		tx.Respond(200, "")
	}))
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		c := dial(t, "tcp", addrs[tr])
		if tr == sip.TLS || tr == sip.WSS {
			c = tls.Client(c, insecure())
		}
		first := []byte(message(c, "z9hG4bK"+tr.String()))
		if tr == sip.WS || tr == sip.WSS {
			if err := exchange(c, []byte(wsUpgrade), "101 "); err != nil {
				t.Fatal(err)
			}
			first = siptest.Frame(0x81, first)
		}
		if err := exchange(c, first, "200 "); err != nil {
			t.Fatal(err)
		}
		flow := <-flows
		m := sip.Message{Method: "MESSAGE", URI: "sip:x@y", Body: make([]byte, 60_000)}
		results := make(chan Result, 1000)
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				for range 50 { // 60 MB, more than all buffers
					if _, err := s.Send(&m, "", flow, results); err != nil {
						return
					}
				}
			})
		}
		all.Wait()
		await(t, "the connection is closed, and its transactions have ended", func() bool {
			_, client := s.Transactions()
			return !s.sockets.Alive(flow) && client == 0
		})
		if n := len(results); n == cap(results) {
			t.Errorf("%s: %d messages were sent to a peer that reads nothing", tr, n)
		}
	}
}
