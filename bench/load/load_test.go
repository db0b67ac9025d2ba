package load

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo starts a server on loopback that answers requests with the result of handle, which
// may be nil. n is the number of the message on its connection, from 1.
func echo(t *testing.T, network string, handle func(n int, req string) (answers []string)) netip.AddrPort {
	t.Helper()
	serve := func(l link) {
		for n := 1; ; n++ {
			raw, err := l.receive()
			if err != nil {
				return
			}
			for _, a := range handle(n, string(raw)) {
				_ = l.send([]byte(a))
			}
		}
	}
	if network == "tcp" {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
				go serve(newStream(conn.(*net.TCPConn)))
			}
		}()
		return ln.Addr().(*net.TCPAddr).AddrPort()
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go serve(&answering{conn: conn})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// An answering is an unconnected UDP socket that sends to the source of its last packet.
type answering struct {
	conn *net.UDPConn
	to   netip.AddrPort
	buf  [65536]byte
}

func (a *answering) receive() ([]byte, error) {
	n, from, err := a.conn.ReadFromUDPAddrPort(a.buf[:])
	a.to = from
	return a.buf[:n], err
}

func (a *answering) send(m []byte) error {
	_, err := a.conn.WriteToUDPAddrPort(m, a.to)
	return err
}
func (a *answering) deadline(time.Time)    {}
func (a *answering) local() netip.AddrPort { return netip.AddrPort{} }
func (a *answering) transport() string     { return "UDP" }
func (a *answering) close()                { a.conn.Close() }

// reply returns a response to a request.
func reply(status, req string) string {
	_, answer, _ := readRequest([]byte(req), nil)
	return strings.Replace(string(answer), "200 OK", status, 1)
}

func start(t *testing.T, cfg Config) *Load {
	t.Helper()
	l, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// limited returns a source of n messages over all slots.
func limited(n int64) Source {
	var given atomic.Int64
	return func(_ int, m *Message) Turn {
		i := given.Add(1)
		if i > n {
			return Done
		}
		m.Method, m.URI, m.From, m.To = "MESSAGE", "sip:bob@example.org", "sip:alice@example.org", "sip:bob@example.org"
		m.Body = Mark(m.Body, 0, int(i-1))
		return Send
	}
}

func TestAllIsSentAndCounted(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			server := echo(t, network, func(_ int, req string) []string { return []string{reply("202 Accepted", req)} })
			l := start(t, Config{Network: network, Server: server, Clients: 3, Open: 12})
			before := l.Counts()
			if err := l.Do(t.Context(), limited(500)); err != nil {
				t.Fatal(err)
			}
			got := l.Counts().Since(before)
			if got.Sent != 500 || got.Status[202] != 500 || got.Answers(200, 300) != 500 || got.Faults != 0 {
				t.Errorf("sent %d, 202 %d, faults %d; want 500, 500, 0", got.Sent, got.Status[202], got.Faults)
			}
			if got.Latency.Count() != 500 || got.Latency.Quantile(0.5) <= 0 {
				t.Errorf("latency has %d values, median %v", got.Latency.Count(), got.Latency.Quantile(0.5))
			}
		})
	}
}

func TestWhatIsLostIsSentAgain(t *testing.T) {
	first := ""
	server := echo(t, "udp", func(n int, req string) []string {
		if n == 1 {
			first = req
			return nil
		}
		if req != first {
			return []string{reply("500 Another request", req)}
		}
		return []string{reply("100 Trying", req), reply("200 OK", req), reply("200 OK", req)}
	})
	l := start(t, Config{Network: "udp", Server: server, Clients: 1, Open: 1})
	if err := l.Do(t.Context(), limited(1)); err != nil {
		t.Fatal(err)
	}
	// The second 200 is counted after the client has read it.
	for deadline := time.Now().Add(5 * time.Second); l.Counts().Late == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	got := l.Counts()
	if got.Resent != 1 || got.Status[200] != 1 || got.Late != 1 {
		t.Errorf("resent %d, 200 %d, late %d; want 1, 1, 1", got.Resent, got.Status[200], got.Late)
	}
	if d := got.Latency.Quantile(1); d < timerT1 {
		t.Errorf("latency %v does not count from the first sending", d)
	}
}

func TestRequestsAreHeardAndAnswered(t *testing.T) {
	const call = "MESSAGE sip:bob@127.0.0.1:1 SIP/2.0\r\n" +
		"v: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKin;rport\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfar\r\n" +
		"Max-Forwards: 69\r\nf: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\ni: id\r\nCSeq: 7 MESSAGE\r\n" +
		"Content-Length: 5\r\n\r\n~0/3~"
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			answers := make(chan string, 10)
			server := echo(t, network, func(n int, req string) []string {
				if strings.HasPrefix(req, "SIP/2.0") {
					answers <- req
					return nil
				}
				return []string{reply("202 Accepted", req), call, "\r\n\r\n" + call}
			})
			ledger := NewLedger(1)
			l := start(t, Config{Network: network, Server: server, Clients: 1, Open: 1, Heard: func(r Request) {
				if box, n, ok := ReadMark(r.Body); ok && string(r.User) == "bob" {
					ledger.Enter(box, n, r.Branch)
				}
			}})
			if err := l.Do(t.Context(), limited(1)); err != nil {
				t.Fatal(err)
			}
			want := "SIP/2.0 200 OK\r\n" +
				"v: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKin;rport\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKfar\r\n" +
				"f: <sip:alice@example.org>;tag=1\r\nTo: <sip:bob@example.org>;tag=bench\r\ni: id\r\nCSeq: 7 MESSAGE\r\n" +
				"Content-Length: 0\r\n\r\n"
			for range 2 {
				if got := <-answers; got != want {
					t.Errorf("answer\n%s\nwant\n%s", got, want)
				}
			}
			if got := ledger.Totals(); got != (Totals{Arrived: 1, Retransmitted: 1}) {
				t.Errorf("ledger has %+v", got)
			}
		})
	}
}

// A source that returns Later is called again, but not in a busy loop.
func TestLater(t *testing.T) {
	server := echo(t, "udp", func(_ int, req string) []string { return []string{reply("200 OK", req)} })
	l := start(t, Config{Network: "udp", Server: server, Clients: 1, Open: 2})
	var open atomic.Bool
	src := limited(4)
	done := make(chan error, 1)
	go func() {
		done <- l.Do(t.Context(), func(slot int, m *Message) Turn {
			if !open.Load() {
				return Later
			}
			return src(slot, m)
		})
	}()
	select {
	case <-done:
		t.Fatal("done before it began")
	case <-time.After(20 * time.Millisecond):
	}
	if n := l.Counts().Sent; n != 0 {
		t.Fatalf("%d requests sent too early", n)
	}
	open.Store(true)
	if err := <-done; err != nil || l.Counts().Status[200] != 4 {
		t.Errorf("error %v, %d answers", err, l.Counts().Status[200])
	}
}

func TestDoEndsWithItsContext(t *testing.T) {
	server := echo(t, "udp", func(int, string) []string { return nil })
	l := start(t, Config{Network: "udp", Server: server, Clients: 1, Open: 1})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Do(ctx, limited(1)); err == nil || !strings.Contains(err.Error(), "1 requests open") {
		t.Errorf("error is %v", err)
	}
}

func TestRequestAsWritten(t *testing.T) {
	c := &Client{link: &datagrams{}, addr: "127.0.0.1:4000", name: "c9"}
	got := c.appendRequest(nil, &Message{
		Method: "REGISTER", URI: "sip:example.org", From: "sip:bob@example.org", To: "sip:bob@example.org",
		CallID: "fixed", CSeq: 4, Contact: "sip:bob@127.0.0.1:4000",
	}, 3, 17)
	want := strings.Join([]string{
		"REGISTER sip:example.org SIP/2.0",
		"Via: SIP/2.0/UDP 127.0.0.1:4000;rport;branch=z9hG4bK3.17.c9",
		"Max-Forwards: 70",
		"From: <sip:bob@example.org>;tag=3.17.c9",
		"To: <sip:bob@example.org>",
		"Call-ID: fixed",
		"CSeq: 4 REGISTER",
		"Contact: <sip:bob@127.0.0.1:4000>",
		"Expires: 3600",
		"Content-Length: 0", "", "",
	}, "\r\n")
	if string(got) != want {
		t.Errorf("request\n%s\nwant\n%s", got, want)
	}
	r, ok := parseResponse([]byte(reply("503 Service Unavailable", want)))
	if !ok || r != (response{status: 503, slot: 3, count: 17}) {
		t.Errorf("its answer reads %+v, %v", r, ok)
	}
}

func TestFrame(t *testing.T) {
	const head = "\r\nSIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\n"
	for _, tt := range []struct {
		in   string
		want int
		ok   bool
	}{
		{head + "abc", len(head) + 3, true},
		{head, len(head) + 3, true},
		{head[:20], 0, true},
		{"", 0, true},
		{"\r\n\r\n", 0, true},
		{"OPTIONS sip:a SIP/2.0\r\nl : 5\r\n\r\n", 37, true},
		{"OPTIONS sip:a SIP/2.0\r\nX: 5\r\n\r\n", 0, false},
		{"OPTIONS sip:a SIP/2.0\r\nl: -5\r\n\r\n", 0, false},
	} {
		got, err := frame([]byte(tt.in))
		if (err == nil) != tt.ok || tt.ok && got != tt.want {
			t.Errorf("frame of %q is %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
}

// FuzzAnswers checks that no message from a server makes a client fail.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK3.17.c0\r\n\r\n"))
	f.Add([]byte("MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nTo: a\r\nContent-Length: 1\r\n\r\n~1/2~"))
	f.Add([]byte("\r\n\r\nl:4\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := frame(raw); err == nil && n < 0 {
			t.Errorf("length %d", n)
		}
		_, _ = parseResponse(raw)
		req, answer, ok := readRequest(raw, nil)
		if ok && !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
			t.Errorf("answer %q is not complete", answer)
		}
		if box, number, ok := ReadMark(req.Body); ok {
			NewLedger(box%100+1).Enter(box, number%100, req.Branch)
			if !slices.Contains(req.Body, mark) {
				t.Error("mark from nowhere")
			}
		}
	})
}
