package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A ua is a user agent without a SIP stack: tests write its requests and see the received
// messages unchanged.
type ua struct {
	t         *testing.T
	conn      net.Conn
	aor       string // sip:bob@127.0.0.1
	answers   chan string
	requests  chan string
	autoReply atomic.Int32    // status for every request; 0: the test answers
	replied   map[string]bool // by Via: requests answered with autoReply
	seq       int
	daemon    *daemon // of which it is a client; may be nil

	keepAlives atomic.Int32 // empty lines received
}

var branches atomic.Int64

const (
	patience = 10 * time.Second       // for expected events
	silence  = 200 * time.Millisecond // for events that must not happen
	timerE   = 500 * time.Millisecond // until a retransmission
)

// phone connects a user agent to a daemon over "udp" or "tcp". It answers 200 to all
// requests: see autoReply.
func phone(t *testing.T, network string, to netip.AddrPort, aor string) *ua {
	t.Helper()
	c, err := net.Dial(network, to.String())
	if err != nil {
		t.Fatal(err)
	}
	return newUA(t, c, aor)
}

// newUA returns a user agent with the connection c.
func newUA(t *testing.T, c net.Conn, aor string) *ua {
	u := &ua{t: t, conn: c, aor: aor, answers: make(chan string, 1000), requests: make(chan string, 10_000), replied: map[string]bool{}}
	u.autoReply.Store(200)
	t.Cleanup(func() { _ = c.Close() })
	if c.LocalAddr().Network() == "udp" {
		go u.readDatagrams()
	} else {
		go u.readStream()
	}
	return u
}

func (u *ua) readDatagrams() {
	buf := make([]byte, 65536)
	for {
		n, err := u.conn.Read(buf)
		if err != nil {
			return
		}
		u.take(string(buf[:n]))
	}
}

func (u *ua) readStream() {
	r := bufio.NewReader(u.conn)
	for {
		var head strings.Builder
		for !strings.HasSuffix(head.String(), "\r\n\r\n") {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			head.WriteString(line)
		}
		n, _ := strconv.Atoi(header(head.String(), "Content-Length"))
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		u.take(head.String() + string(body))
	}
}

// take handles a received message.
func (u *ua) take(m string) {
	if strings.HasPrefix(m, "SIP/2.0 1") {
		return // a 100 after 3.5 s
	}
	if strings.Trim(m, "\r\n") == "" {
		u.keepAlives.Add(1)
		return
	}
	if strings.HasPrefix(m, "SIP/2.0 ") {
		u.answers <- m
		return
	}
	via := header(m, "Via")
	if code := u.autoReply.Load(); code != 0 {
		u.reply(m, int(code))
		if u.replied[via] { // a retransmission
			return
		}
		u.replied[via] = true
	}
	u.requests <- m
}

// reply answers a request.
func (u *ua) reply(request string, status int) {
	_, _ = io.WriteString(u.conn, u.response(request, status))
}

// response returns a response to a request.
func (u *ua) response(request string, status int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Test\r\n", status)
	head, _, _ := strings.Cut(request, "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n")[1:] {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "From", "To", "Call-ID", "CSeq":
			b.WriteString(line + "\r\n")
		}
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	return b.String()
}

// header returns the value of the first header field with a name.
func header(m, name string) string {
	head, _, _ := strings.Cut(m, "\r\n\r\n")
	for _, line := range strings.Split(head, "\r\n")[1:] {
		n, v, _ := strings.Cut(line, ":")
		if textproto.CanonicalMIMEHeaderKey(n) == textproto.CanonicalMIMEHeaderKey(name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func body(m string) string {
	_, b, _ := strings.Cut(m, "\r\n\r\n")
	return b
}

func status(m string) int {
	fields := strings.SplitN(m, " ", 3)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// request returns a request of this agent; more are its additional header fields.
func (u *ua) request(method, uri, to, body string, more ...string) string {
	u.seq++
	n := branches.Add(1)
	lines := []string{
		method + " " + uri + " SIP/2.0",
		fmt.Sprintf("Via: SIP/2.0/%s %s;branch=z9hG4bKt%d;rport", strings.ToUpper(u.conn.LocalAddr().Network()), u.conn.LocalAddr(), n),
		"Max-Forwards: 70",
		fmt.Sprintf("From: <%s>;tag=t%d", u.aor, n), "To: <" + to + ">", fmt.Sprintf("Call-ID: call-%d@test", n),
		fmt.Sprintf("CSeq: %d %s", u.seq, method),
	}
	lines = append(lines, more...)
	return strings.Join(append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "", body), "\r\n")
}

// ask sends a request and returns its final response. Over UDP it retransmits the request.
func (u *ua) ask(request string) string {
	u.t.Helper()
	again := time.NewTicker(timerE)
	defer again.Stop()
	if u.conn.LocalAddr().Network() != "udp" {
		again.Stop()
	}
	if _, err := io.WriteString(u.conn, request); err != nil {
		u.t.Fatal(err)
	}
	for late := time.After(patience); ; {
		select {
		case a := <-u.answers:
			if header(a, "CSeq") == header(request, "CSeq") && header(a, "Call-ID") == header(request, "Call-ID") {
				return a
			}
		case <-again.C:
			_, _ = io.WriteString(u.conn, request)
		case <-late:
			u.t.Fatalf("no answer to\n%s", request)
		}
	}
}

// register registers the local address of the agent as a contact.
func (u *ua) register(expires int) string {
	u.t.Helper()
	user, host, _ := strings.Cut(strings.TrimPrefix(u.aor, "sip:"), "@")
	contact := fmt.Sprintf("Contact: <sip:%s@%s;transport=%s>", user, u.conn.LocalAddr(), u.conn.LocalAddr().Network())
	a := u.ask(u.request("REGISTER", "sip:"+host, u.aor, "", contact, "Expires: "+strconv.Itoa(expires)))
	if status(a) != 200 {
		u.t.Fatalf("REGISTER was answered\n%s", a)
	}
	u.awaitLook()
	return a
}

// awaitLook waits until the daemon has looked for stored messages after a REGISTER, or
// delivers them. If it takes longer than 50 ms, a new message in the meantime is stored and
// not relayed.
func (u *ua) awaitLook() {
	if u.daemon == nil {
		return
	}
	for end := time.Now().Add(time.Second); u.daemon.engine.Active() > 0 && len(u.requests) == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// message sends a text and returns the status of the response.
func (u *ua) message(to, text string, more ...string) int {
	u.t.Helper()
	return status(u.ask(u.request("MESSAGE", to, to, text, append([]string{"Content-Type: text/plain"}, more...)...)))
}

// next returns the next received request.
func (u *ua) next() string {
	u.t.Helper()
	select {
	case m := <-u.requests:
		return m
	case <-time.After(patience):
		u.t.Fatal("no request came")
		return ""
	}
}

// nothing checks that no request is received for the time silence.
func (u *ua) nothing() {
	u.t.Helper()
	select {
	case m := <-u.requests:
		u.t.Fatalf("unexpected request\n%s", m)
	case <-time.After(silence):
	}
}
