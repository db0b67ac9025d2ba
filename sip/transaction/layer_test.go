package transaction

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// running starts a stack on loopback and gives its UDP and TCP addresses.
func running(t *testing.T, cfg Config, h Handler) (s *stack, udp, tcp netip.AddrPort) {
	t.Helper()
	free := netip.MustParseAddrPort("127.0.0.1:0")
	cfg.Listen = []transport.Endpoint{{Transport: sip.UDP, Addr: free}, {Transport: sip.TCP, Addr: free}}
	cfg.Grace = time.Second
	s = newStack(cfg, h)
	start(t, s)
	return s, s.sockets.Endpoints()[0].Addr, s.sockets.Endpoints()[1].Addr
}

func start(t *testing.T, s *stack) {
	t.Helper()
	if err := s.sockets.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
}

func dial(t *testing.T, network string, to netip.AddrPort) net.Conn {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads what comes within a second; "" is silence, or the end of a stream.
func hear(t *testing.T, c net.Conn, wait time.Duration) string {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "timeout") && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	return string(buf[:n])
}

const (
	patience = 5 * time.Second        // for what must come
	silence  = 150 * time.Millisecond // for what must not
)

// usual makes a request as large as those of most clients, so that no answer is larger.
const usual = "Max-Forwards: 70\r\nUser-Agent: a phone (with as many words as most have)/1.0.0\r\nSupported: replaces, outbound"

func message(c net.Conn, branch string, more ...string) string {
	lines := append([]string{
		"MESSAGE sip:bob@127.0.0.1 SIP/2.0",
		"Via: SIP/2.0/" + strings.ToUpper(c.LocalAddr().Network()) + " " + c.LocalAddr().String() + ";branch=" + branch + ";rport",
		"From: <sip:alice@127.0.0.1>;tag=1", "To: <sip:bob@127.0.0.1>", "Call-ID: " + branch + "@test", "CSeq: 1 MESSAGE",
	}, more...)
	return strings.Join(append(lines, "Content-Length: 2", "", "hi"), "\r\n")
}

func status(response string) string {
	_, rest, _ := strings.Cut(response, " ")
	code, _, _ := strings.Cut(rest, " ")
	return code
}

func TestRetransmissionGetsTheSameAnswerAndRunsNothing(t *testing.T) {
	var runs atomic.Int32
	_, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		runs.Add(1)
		r.Respond(202, "", sip.Header{Name: "X-Extra", Value: "kept"})
	}))
	c := dial(t, "udp", udp)
	m := message(c, "z9hG4bKa")
	send(t, c, m)
	first := hear(t, c, patience)
	send(t, c, m)
	second := hear(t, c, patience)
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

// What real clients repeat that is no retransmission.
func TestNewRequestsUnderAnOldBranch(t *testing.T) {
	var runs atomic.Int32
	_, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		runs.Add(1)
		r.Respond(202, "")
	}))
	alice, carol := dial(t, "udp", udp), dial(t, "udp", udp)
	m := message(alice, "z9hG4bKsame")
	send(t, alice, m)
	hear(t, alice, patience)
	// Pidgin answers a challenge under the same branch.
	send(t, alice, strings.Replace(m, "Content-Length", "Proxy-Authorization: Digest x\r\nContent-Length", 1))
	hear(t, alice, patience)
	// Two clients with an unseeded random generator make the same branch.
	send(t, carol, m)
	hear(t, carol, patience)
	if n := runs.Load(); n != 3 {
		t.Errorf("the handler ran %d times, want 3", n)
	}
}

func TestAnswersToWhatIsMalformed(t *testing.T) {
	s, udp, _ := running(t, Config{}, serve(func(r *ServerTx) { r.Respond(200, "") }))
	for _, tc := range []struct{ name, old, new, want string }{
		{"good", "", "", "200"},
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
		wait := patience
		if tc.want == "" {
			wait = silence
		}
		send(t, c, strings.ReplaceAll(message(c, "z9hG4bK"+strings.ReplaceAll(tc.name, " ", ""), usual), tc.old, tc.new))
		if got := status(hear(t, c, wait)); got != tc.want {
			t.Errorf("%s: answered %q, want %q", tc.name, got, tc.want)
		}
	}
	if server, _ := s.Transactions(); server != 1 {
		t.Errorf("%d transactions are kept, want only the good one's", server)
	}
}

func TestOverloadIsAnswered(t *testing.T) {
	hold := make(chan struct{})
	s, udp, _ := running(t, Config{MaxHandlers: 1}, waiting(func(r *ServerTx) {
		<-hold
		r.Respond(200, "")
	}))
	first, second := dial(t, "udp", udp), dial(t, "udp", udp)
	send(t, first, message(first, "z9hG4bK1"))
	for s.Handlers() == 0 {
		time.Sleep(time.Millisecond)
	}
	m := message(second, "z9hG4bK2", usual)
	send(t, second, m)
	if r := hear(t, second, patience); status(r) != "503" || !strings.Contains(r, "Retry-After: ") {
		t.Errorf("got %s", r)
	}
	close(hold)
	hear(t, first, patience)
	for s.Handlers() > 0 {
		time.Sleep(time.Millisecond)
	}
	send(t, second, m) // its retransmission is a new attempt
	if r := hear(t, second, patience); status(r) != "200" {
		t.Errorf("after the overload: %s", r)
	}
}

// Work does not keep others from being served. A Handle that waits, which it must not, does
// not stop the socket for long.
func TestHandlersThatWait(t *testing.T) {
	for _, polite := range []bool{true, false} {
		hold := make(chan struct{})
		wait := func(r *ServerTx) {
			if r.Request.Target.User == "bob" {
				<-hold
			}
			r.Respond(200, "")
		}
		h := serve(wait)
		if polite {
			h = waiting(wait)
		}
		s, udp, _ := running(t, Config{}, h)
		c := dial(t, "udp", udp)
		n := 100
		if !polite {
			n = readers
		}
		for i := range n {
			send(t, c, message(c, fmt.Sprint("z9hG4bKwait", i)))
			for !polite && s.Handlers() <= i { // what comes with it waits behind it
				time.Sleep(time.Millisecond)
			}
		}
		for s.Handlers() < n {
			time.Sleep(time.Millisecond)
		}
		other := dial(t, "udp", udp)
		send(t, other, strings.ReplaceAll(message(other, "z9hG4bKother"), "sip:bob@", "sip:carol@"))
		if r := hear(t, other, patience); status(r) != "200" {
			t.Errorf("behind %d handlers that wait, another is answered %q", n, r)
		}
		close(hold)
		for range n {
			hear(t, c, patience)
		}
	}
}

func TestPanicAndSilenceAreAnswered500(t *testing.T) {
	_, udp, _ := running(t, Config{}, serve(func(r *ServerTx) {
		if r.Request.Target.User == "bob" {
			panic("bob")
		}
	}))
	for _, user := range []string{"bob", "carol"} {
		c := dial(t, "udp", udp)
		send(t, c, strings.Replace(message(c, "z9hG4bK"+user), "sip:bob", "sip:"+user, 1))
		if r := hear(t, c, patience); status(r) != "500" {
			t.Errorf("%s: %s", user, r)
		}
	}
}

func TestStreamFraming(t *testing.T) {
	_, _, tcp := running(t, Config{}, serve(func(r *ServerTx) { r.Respond(200, string(r.Request.Body)) }))
	c := dial(t, "tcp", tcp)
	send(t, c, "\r\n\r\n")
	if got := hear(t, c, patience); got != "\r\n" {
		t.Errorf("a ping was answered %q", got)
	}
	two := message(c, "z9hG4bK1") + "\r\n\r\n" + message(c, "z9hG4bK2")
	for i := range len(two) {
		send(t, c, two[i:i+1])
	}
	got := ""
	for strings.Count(got, "SIP/2.0 200 hi") < 2 {
		part := hear(t, c, patience)
		if part == "" {
			t.Fatalf("got only %q", got)
		}
		got += part
	}
	// A request that is bad but well framed costs an answer, a bad length the connection.
	send(t, c, strings.Replace(message(c, "z9hG4bK3"), "1 MESSAGE", "x MESSAGE", 1))
	if r := hear(t, c, patience); status(r) != "400" {
		t.Errorf("bad CSeq: %q", r)
	}
	send(t, c, strings.Replace(message(c, "z9hG4bK4"), "Length: 2", "Length: -2", 1))
	if r := hear(t, c, patience); status(r) != "400" {
		t.Errorf("bad Content-Length: %q", r)
	}
	if r := hear(t, c, patience); r != "" {
		t.Errorf("the connection is still open: %q", r)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	closed := make(chan sip.Flow, 10)
	s, _, tcp := running(t, Config{MaxConnections: 2, StartTimeout: 300 * time.Millisecond}, handler{handle: func(*ServerTx) {}, closed: func(f sip.Flow) { closed <- f }})
	var conns []net.Conn
	for range 3 {
		conns = append(conns, dial(t, "tcp", tcp))
	}
	if got := hear(t, conns[2], patience); got != "" {
		t.Errorf("the third connection got %q", got)
	}
	send(t, conns[0], "MESSAGE sip:b") // half a message, and no more
	for range 2 {
		select {
		case f := <-closed:
			if s.sockets.Alive(f) {
				t.Error("a closed flow is said to be alive")
			}
		case <-time.After(patience):
			t.Fatal("a silent connection stayed open")
		}
	}
}

// A request goes out over the connection that its flow names, and its answer
// comes back to the call.
func TestSendOverFlows(t *testing.T) {
	flows := make(chan sip.Flow, 2)
	s, udp, tcp := running(t, Config{}, serve(func(r *ServerTx) {
		flows <- r.Flow
		r.Respond(200, "")
	}))
	for _, tc := range []struct {
		network string
		addr    netip.AddrPort
	}{{"udp", udp}, {"tcp", tcp}} {
		c := dial(t, tc.network, tc.addr)
		dial(t, tc.network, tc.addr) // a later stranger
		send(t, c, message(c, "z9hG4bK1"))
		hear(t, c, patience)
		flow := <-flows
		if again, err := sip.ParseFlow(flow.String()); err != nil || again != flow {
			t.Fatalf("flow %s is read as %s, %v", flow, again, err)
		}
		results := make(chan Result, 1)
		if _, err := s.Send(&sip.Message{Method: "MESSAGE", URI: "sip:x@y", Headers: []sip.Header{{Name: "CSeq", Value: "1 MESSAGE"}}}, sip.AoR{}, flow, results); err != nil {
			t.Fatal(err)
		}
		got := hear(t, c, patience)
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
		case <-time.After(patience):
			t.Errorf("%s: no result", tc.network)
		}
	}
}

func TestPortThatIsTaken(t *testing.T) {
	_, udp, tcp := running(t, Config{}, serve(func(*ServerTx) {}))
	for _, e := range []transport.Endpoint{{Transport: sip.UDP, Addr: udp}, {Transport: sip.TCP, Addr: tcp}} {
		s := newStack(Config{Listen: []transport.Endpoint{e}}, echo)
		if err := s.sockets.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%s: %v", e.Transport, err)
		}
	}
}
