package phone_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A peer is a server with a raw socket: it reads SIP by line and answers with the bytes of
// a test.
type peer struct {
	t       *testing.T
	network string
	addr    string
	got     chan *wire

	mu    sync.Mutex
	conns []net.Conn
}

// A wire is one SIP message as it arrived.
type wire struct {
	start string
	lines []string
	body  string
	raw   string
	send  func(string)
	drop  func() // closes the connection that it came on
}

func newPeer(t *testing.T, network string) *peer {
	t.Helper()
	p := &peer{t: t, network: network, got: make(chan *wire, 100)}
	if network == "udp" {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p.addr = pc.LocalAddr().String()
		t.Cleanup(func() { pc.Close() })
		go p.serveUDP(pc)
		return p
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range p.conns {
			c.Close()
		}
	})
	go p.serveTCP(l)
	return p
}

func (p *peer) server() string { return "sip:" + p.addr + ";transport=" + p.network }

func (p *peer) serveUDP(pc net.PacketConn) {
	buf := make([]byte, 1<<16)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		w, err := readWire(bufio.NewReader(strings.NewReader(string(buf[:n]))))
		if err != nil {
			continue
		}
		w.send = func(s string) { pc.WriteTo([]byte(s), from) }
		p.got <- w
	}
}

func (p *peer) serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, c)
		p.mu.Unlock()
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				w, err := readWire(r)
				if err != nil {
					return
				}
				w.send = func(s string) { c.Write([]byte(s)) }
				w.drop = func() { c.Close() }
				p.got <- w
			}
		}()
	}
}

func readWire(r *bufio.Reader) (*wire, error) {
	w := &wire{}
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, err
		}
		w.raw += line
		line = strings.TrimRight(line, "\r\n")
		switch {
		case w.start == "":
			w.start = line
		case line == "":
			body := make([]byte, length)
			_, err := io.ReadFull(r, body)
			w.body, w.raw = string(body), w.raw+string(body)
			return w, err
		default:
			w.lines = append(w.lines, line)
		}
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.Atoi(v)
		}
	}
}

// next returns the next message, which must begin with start.
func (p *peer) next(start string) *wire {
	p.t.Helper()
	select {
	case w := <-p.got:
		if !strings.HasPrefix(w.start, start) {
			p.t.Fatalf("got %q, want %s", w.start, start)
		}
		return w
	case <-time.After(10 * time.Second):
		p.t.Fatalf("no %s arrived", start)
		return nil
	}
}

func (w *wire) header(name string) string {
	for _, l := range w.lines {
		if v, ok := strings.CutPrefix(l, name+": "); ok {
			return v
		}
	}
	return ""
}

// answer sends a response with the header fields that it must repeat, and more lines.
func (w *wire) answer(status string, more ...string) {
	lines := []string{"SIP/2.0 " + status}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		v := w.header(name)
		if name == "To" && !strings.Contains(v, ";tag=") && !strings.HasPrefix(status, "1") {
			v += ";tag=server"
		}
		lines = append(lines, name+": "+v)
	}
	lines = append(append(lines, more...), "Content-Length: 0", "", "")
	w.send(strings.Join(lines, "\r\n"))
}

// register answers a REGISTER with its contact.
func (w *wire) register(expires int) {
	w.answer("200 OK", fmt.Sprintf("Contact: %s;expires=%d", w.header("Contact"), expires))
}

// request returns a MESSAGE as a server sends it.
func request(branch, body string, more ...string) string {
	lines := append([]string{
		"MESSAGE sip:bob@127.0.0.1:9 SIP/2.0",
		"Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK" + branch,
		`From: "Al \"the\" Ice" <sip:alice@example.org>;tag=a1`,
		"To: <sip:bob@example.org>",
		"Call-ID: call-" + branch,
		"CSeq: 7 MESSAGE",
		"Max-Forwards: 69",
		"Content-Type: text/plain;charset=utf-8",
	}, more...)
	return strings.Join(append(lines, "Content-Length: "+strconv.Itoa(len(body)), "", body), "\r\n")
}
