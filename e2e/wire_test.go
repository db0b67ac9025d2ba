package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a raw socket to the daemon: a test writes every byte that it sends.
type wire struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// dial opens a socket to an address of the daemon.
func dial(t *testing.T, network, addr string) *wire {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &wire{t: t, conn: c, r: bufio.NewReaderSize(c, 1<<17)}
}

func (w *wire) send(raw string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, raw); err != nil {
		w.t.Fatal(err)
	}
}

// answer waits for one SIP message, which may be a request too.
func (w *wire) answer() *response {
	w.t.Helper()
	res, err := w.read(patience)
	if err != nil {
		w.t.Fatalf("no answer: %v", err)
	}
	return res
}

// silent checks that no message arrives for a while. The daemon may have closed the
// connection.
func (w *wire) silent() {
	w.t.Helper()
	res, err := w.read(silence)
	if err == nil {
		w.t.Fatalf("got an answer, want none:\n%s", res)
	}
}

// closed waits until the daemon closes the connection.
func (w *wire) closed() {
	w.t.Helper()
	_, err := w.read(patience)
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		w.t.Fatalf("the connection is still open: %v", err)
	}
}

// response is a message from the daemon.
type response struct {
	status int // 0 for a request
	line   string
	header textproto.MIMEHeader
	body   string
}

func (r *response) String() string { return fmt.Sprintf("%s\n%v\n%s", r.line, r.header, r.body) }

func (w *wire) read(wait time.Duration) (*response, error) {
	if err := w.conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	r := textproto.NewReader(w.r)
	line, err := r.ReadLine()
	if err != nil {
		return nil, err
	}
	res := &response{line: line}
	if version, rest, ok := strings.Cut(line, " "); ok && version == "SIP/2.0" && len(rest) >= 3 {
		res.status, _ = strconv.Atoi(rest[:3])
	}
	if res.header, err = r.ReadMIMEHeader(); err != nil {
		return nil, err
	}
	n, _ := strconv.Atoi(res.header.Get("Content-Length"))
	body := make([]byte, n)
	_, err = io.ReadFull(w.r, body)
	res.body = string(body)
	return res, err
}

// requests counts the requests, for unique tags, branches and Call-IDs.
var requests atomic.Int64

// lines returns the lines of a request, which a test may change. {N} stands for a unique
// number, and {VIA} for the protocol and sent-by of the socket.
func lines(method, uri string) []string {
	return []string{
		method + " " + uri + " SIP/2.0",
		"Via: {VIA};branch=z9hG4bK{N};rport",
		"From: <sip:mallory@" + domain + ">;tag={N}",
		"To: <" + uri + ">",
		"Call-ID: {N}@e2e",
		"CSeq: 1 " + method,
		"Max-Forwards: 70",
		"User-Agent: somebody's phone/1.0 (with a long name, as phones have it)",
	}
}

// request returns a request of these lines and a body, for this socket.
func (w *wire) request(head []string, body string) string {
	n := "e2e" + strconv.FormatInt(requests.Add(1), 10)
	local := w.conn.LocalAddr()
	via := "SIP/2.0/" + strings.ToUpper(local.Network()) + " " + local.String()
	return strings.NewReplacer("{N}", n, "{VIA}", via).Replace(strings.Join(head, "\r\n")) + "\r\n\r\n" + body
}

// message returns a valid MESSAGE.
func (w *wire) message(to, body string) string {
	return w.request(append(lines("MESSAGE", uri(to)), "Content-Type: text/plain", fmt.Sprint("Content-Length: ", len(body))), body)
}

// register registers the socket as the contact of a user.
func (w *wire) register(user string) {
	w.t.Helper()
	contact := "Contact: <sip:" + user + "@" + w.conn.LocalAddr().String() + ">"
	w.send(w.request(swap(empty("REGISTER", "sip:"+domain, contact), "To", "To: <"+uri(user)+">"), ""))
	if res := w.answer(); res.status != 200 {
		w.t.Fatalf("REGISTER, want 200:\n%s", res)
	}
}

// checkAlive checks with OPTIONS over new sockets that the daemon still serves.
func (d *daemon) checkAlive(t *testing.T) {
	t.Helper()
	if !d.running() {
		t.Fatalf("silod has ended:\n%s", tail(d.logs.String()))
	}
	for _, network := range []string{"udp", "tcp"} {
		w := dial(t, network, d.addr)
		options := w.request(append(lines("OPTIONS", "sip:"+domain), "Content-Length: 0"), "")
		w.send(options)
		res, err := w.read(time.Second)
		for tries := 0; err != nil && network == "udp" && tries < 10; tries++ {
			w.send(options) // a datagram is lost while a flood fills the receive buffer
			res, err = w.read(2 * time.Second)
		}
		if err != nil {
			res = w.answer()
		}
		if res.status != 200 {
			t.Fatalf("OPTIONS over %s, want 200:\n%s", network, res)
		}
		w.conn.Close()
	}
}
