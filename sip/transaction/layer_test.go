package transaction

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

func TestRetransmission(t *testing.T) {
	var runs atomic.Int32
	_, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		runs.Add(1)
		tx.Respond(202, "", sip.Header{Name: "X-Extra", Value: "kept"})
	}))
	c := dial(t, "udp", udp)
	m := message(c, "z9hG4bKa")
	send(t, c, m)
	first := receive(t, c, timeout)
	send(t, c, m)
	second := receive(t, c, timeout)
	if first != second || !strings.HasPrefix(first, "SIP/2.0 202 Accepted\r\n") || !strings.Contains(first, "X-Extra: kept\r\n") {
		t.Errorf("answers:\n%s\n%s", first, second)
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the handler ran %d times", n)
	}
	port := c.LocalAddr().(*net.UDPAddr).Port
	if want := fmt.Sprintf(";rport=%d", port); !strings.Contains(first, want) || !strings.Contains(first, ";received=127.0.0.1") {
		t.Errorf("no %s in\n%s", want, first)
	}
	if !strings.Contains(first, "To: <sip:bob@127.0.0.1>;tag=") {
		t.Errorf("no To tag in\n%s", first)
	}
}

// TestReusedBranch checks that requests of clients that reuse a branch are not taken for
// retransmissions.
func TestReusedBranch(t *testing.T) {
	var runs atomic.Int32
	_, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) {
		runs.Add(1)
		tx.Respond(202, "")
	}))
	alice, carol := dial(t, "udp", udp), dial(t, "udp", udp)
	m := message(alice, "z9hG4bKsame")
	send(t, alice, m)
	receive(t, alice, timeout)
	// Pidgin responds to a challenge with the same branch.
	send(t, alice, strings.Replace(m, "Content-Length", "Proxy-Authorization: Digest x\r\nContent-Length", 1))
	receive(t, alice, timeout)
	// Two clients with unseeded random numbers generate the same branch.
	send(t, carol, m)
	receive(t, carol, timeout)
	if n := runs.Load(); n != 3 {
		t.Errorf("the handler ran %d times, want 3", n)
	}
}

func TestMalformedRequests(t *testing.T) {
	s, udp, _ := runLayers(t, config{}, serve(func(tx *ServerTx) { tx.Respond(200, "") }))
	for _, tc := range []struct{ name, old, new, want string }{
		{"valid", "", "", "200"},
		{"no From", "From: <sip:alice@127.0.0.1>;tag=1\r\n", "", "400"},
		{"no Call-ID", "Call-ID: ", "X-ID: ", "400"},
		{"two To", "To: ", "To: <sip:x@y>\r\nTo: ", "400"},
		{"CSeq of another method", "1 MESSAGE", "1 REGISTER", "400"},
		{"CSeq too large", "1 MESSAGE", "4294967296 MESSAGE", "400"},
		{"From unbalanced", "From: <", "From: \"x <", "400"},
		{"Content-Length too large", "Length: 2", "Length: 200", "400"},
		{"no Via", "Via: ", "X-Via: ", ""},
		{"version", " SIP/2.0\r\nVia", " SIP/3.0\r\nVia", "505"},
		{"ACK", "MESSAGE", "ACK", ""},
	} {
		c := dial(t, "udp", udp)
		wait := timeout
		if tc.want == "" {
			wait = quietTime
		}
		send(t, c, strings.ReplaceAll(message(c, "z9hG4bK"+strings.ReplaceAll(tc.name, " ", ""), extraHeaders), tc.old, tc.new))
		if got := status(receive(t, c, wait)); got != tc.want {
			t.Errorf("%s: answered %q, want %q", tc.name, got, tc.want)
		}
	}
	if server, _ := s.Transactions(); server != 1 {
		t.Errorf("%d transactions are stored, want 1", server)
	}
}

func TestOverloadIsAnswered(t *testing.T) {
	hold := make(chan struct{})
	s, udp, _ := runLayers(t, config{MaxHandlers: 1}, serveLater(func(tx *ServerTx) {
		<-hold
		tx.Respond(200, "")
	}))
	first, second := dial(t, "udp", udp), dial(t, "udp", udp)
	send(t, first, message(first, "z9hG4bK1"))
	for s.Handlers() == 0 {
		time.Sleep(time.Millisecond)
	}
	m := message(second, "z9hG4bK2", extraHeaders)
	send(t, second, m)
	if r := receive(t, second, timeout); status(r) != "503" || !strings.Contains(r, "Retry-After: ") {
		t.Errorf("got %s", r)
	}
	close(hold)
	receive(t, first, timeout)
	for s.Handlers() > 0 {
		time.Sleep(time.Millisecond)
	}
	send(t, second, m) // its retransmission is a new request
	if r := receive(t, second, timeout); status(r) != "200" {
		t.Errorf("after the overload: %s", r)
	}
}

// TestWaitingHandlers checks that other requests are served while Work waits. If Handle waits,
// which it must not, they are served after a delay.
func TestWaitingHandlers(t *testing.T) {
	for _, inWork := range []bool{true, false} {
		hold := make(chan struct{})
		wait := func(tx *ServerTx) {
			if tx.Request.Target.User == "bob" {
				<-hold
			}
			tx.Respond(200, "")
		}
		h := serve(wait)
		if inWork {
			h = serveLater(wait)
		}
		s, udp, _ := runLayers(t, config{}, h)
		c := dial(t, "udp", udp)
		n := 100
		if !inWork {
			n = readers
		}
		for i := range n {
			send(t, c, message(c, fmt.Sprint("z9hG4bKwait", i)))
			for !inWork && s.Handlers() <= i { // so that the requests are not in one batch
				time.Sleep(time.Millisecond)
			}
		}
		for s.Handlers() < n {
			time.Sleep(time.Millisecond)
		}
		other := dial(t, "udp", udp)
		send(t, other, strings.ReplaceAll(message(other, "z9hG4bKother"), "sip:bob@", "sip:carol@"))
		if r := receive(t, other, timeout); status(r) != "200" {
			t.Errorf("while %d handlers wait, another request got %q", n, r)
		}
		close(hold)
		for range n {
			receive(t, c, timeout)
		}
	}
}

// TestPanicIsAnswered500 checks requests whose handler panics, in Handle or in Work, or sends
// no answer. None of them counts as being served afterwards.
func TestPanicIsAnswered500(t *testing.T) {
	f := func(tx *ServerTx) {
		if tx.Request.Target.User == "bob" {
			panic("bob")
		}
	}
	for _, h := range []Handler{serve(f), serveLater(f)} {
		s, udp, tcp := runLayers(t, config{}, h)
		for _, user := range []string{"bob", "carol"} {
			for _, c := range []net.Conn{dial(t, "udp", udp), dial(t, "tcp", tcp)} {
				send(t, c, strings.Replace(message(c, "z9hG4bK"+user), "sip:bob", "sip:"+user, 1))
				if r := receive(t, c, timeout); status(r) != "500" {
					t.Errorf("%s: %s", user, r)
				}
			}
		}
		await(t, "all requests have been served", func() bool { return s.Handlers() == 0 })
	}
}

// TestStopOrder checks the order of stopping: new requests are rejected, Work may answer
// within the grace time and after the end of its context, and then Run returns.
func TestStopOrder(t *testing.T) {
	begun, ended := make(chan struct{}), false
	s, udp, _ := runLayers(t, config{}, handler{work: func(tx *ServerTx) Work {
		return func(ctx context.Context) {
			close(begun)
			<-ctx.Done()
			tx.Respond(200, "")
			ended = true
		}
	}})
	c := dial(t, "udp", udp)
	send(t, c, message(c, "z9hG4bK1"))
	<-begun
	stopped := make(chan struct{})
	go func() {
		s.stop()
		close(stopped)
	}()
	await(t, "the layer rejects requests", s.Draining)
	send(t, c, message(c, "z9hG4bK2", extraHeaders))
	for _, want := range []string{"503", "200"} {
		if r := receive(t, c, timeout); status(r) != want {
			t.Errorf("answered %q, want %s", r, want)
		}
	}
	if <-stopped; !ended {
		t.Error("Run returned before the Work")
	}
}

func TestStreamFraming(t *testing.T) {
	_, _, tcp := runLayers(t, config{}, serve(func(tx *ServerTx) { tx.Respond(200, string(tx.Request.Body)) }))
	c := dial(t, "tcp", tcp)
	send(t, c, "\r\n\r\n")
	if got := receive(t, c, timeout); got != "\r\n" {
		t.Errorf("a ping was answered %q", got)
	}
	two := message(c, "z9hG4bK1") + "\r\n\r\n" + message(c, "z9hG4bK2")
	for i := range len(two) {
		send(t, c, two[i:i+1])
	}
	got := ""
	for strings.Count(got, "SIP/2.0 200 hi") < 2 {
		part := receive(t, c, timeout)
		if part == "" {
			t.Fatalf("got only %q", got)
		}
		got += part
	}
	// A malformed request is answered. If its length is unknown, the connection is closed too.
	send(t, c, strings.Replace(message(c, "z9hG4bK3"), "1 MESSAGE", "x MESSAGE", 1))
	if r := receive(t, c, timeout); status(r) != "400" {
		t.Errorf("bad CSeq: %q", r)
	}
	send(t, c, strings.Replace(message(c, "z9hG4bK4"), "Length: 2", "Length: -2", 1))
	if r := receive(t, c, timeout); status(r) != "400" {
		t.Errorf("bad Content-Length: %q", r)
	}
	if r := receive(t, c, timeout); r != "" {
		t.Errorf("the connection is still open: %q", r)
	}
}

func TestMaxConnections(t *testing.T) {
	closed := make(chan sip.Flow, 10)
	s, _, tcp := runLayers(t, config{MaxConnections: 2, StartTimeout: 300 * time.Millisecond}, handler{handle: func(*ServerTx) {}, closed: func(f sip.Flow) { closed <- f }})
	var conns []net.Conn
	for range 3 {
		conns = append(conns, dial(t, "tcp", tcp))
	}
	if got := receive(t, conns[2], timeout); got != "" {
		t.Errorf("the third connection got %q", got)
	}
	send(t, conns[0], "MESSAGE sip:b") // an incomplete message
	for range 2 {
		select {
		case f := <-closed:
			if s.sockets.Alive(f) {
				t.Error("Alive reports a closed flow")
			}
		case <-time.After(timeout):
			t.Fatal("a connection without a message stayed open")
		}
	}
}

// TestSend checks that a request is sent over its flow and that the response ends its
// transaction.
func TestSend(t *testing.T) {
	flows := make(chan sip.Flow, 2)
	s, udp, tcp := runLayers(t, config{}, serve(func(tx *ServerTx) {
		flows <- tx.Flow
		tx.Respond(200, "")
	}))
	for _, tc := range []struct {
		network string
		addr    netip.AddrPort
	}{{"udp", udp}, {"tcp", tcp}} {
		c := dial(t, tc.network, tc.addr)
		dial(t, tc.network, tc.addr) // another, later connection
		send(t, c, message(c, "z9hG4bK1"))
		receive(t, c, timeout)
		flow := <-flows
		if again, err := sip.ParseFlow(flow.String()); err != nil || again != flow {
			t.Fatalf("flow %s is parsed as %s, %v", flow, again, err)
		}
		results := make(chan Result, 1)
		if _, err := s.Send(&sip.Message{Method: "MESSAGE", URI: "sip:x@y", Headers: []sip.Header{{Name: "CSeq", Value: "1 MESSAGE"}}}, "", flow, results); err != nil {
			t.Fatal(err)
		}
		got := receive(t, c, timeout)
		via, rest, _ := strings.Cut(got[strings.Index(got, "Via: "):], "\r\n")
		if !strings.HasPrefix(via, "Via: SIP/2.0/"+strings.ToUpper(tc.network)+" "+tc.addr.String()+";branch=z9hG4bK") || rest == "" {
			t.Errorf("got %q", got)
		}
		send(t, c, "SIP/2.0 200 OK\r\n"+via+"\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n")
		select {
		case r := <-results:
			if r.Err != nil || r.Response.Status != 200 {
				t.Errorf("%s: %+v", tc.network, r)
			}
		case <-time.After(timeout):
			t.Errorf("%s: no result", tc.network)
		}
	}
}

func TestListenOnUsedPort(t *testing.T) {
	_, udp, tcp := runLayers(t, config{}, serve(func(*ServerTx) {}))
	for _, e := range []transport.Endpoint{{Transport: sip.UDP, Addr: udp}, {Transport: sip.TCP, Addr: tcp}} {
		s := newLayers(config{Listen: []transport.Endpoint{e}}, echo)
		if err := s.sockets.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", e.Transport, err)
		}
	}
}
