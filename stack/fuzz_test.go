package stack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"silod/sip"
)

// FuzzReceive: whatever comes in a datagram or on a stream, a request that gets an
// answer gets one that can be read and is its own; and nothing of it is left when
// Timer J is over.
func FuzzReceive(f *testing.F) {
	for _, raw := range torture(f) {
		f.Add(raw, false)
		f.Add(raw, true)
	}
	s := newStack(Config{}, serve(func(r *ServerTx) {
		_, ok := r.Request.MaxForwards()
		if !ok || r.Looped(sip.AoR{User: "b", Domain: "b"}) || r.Request.Direct(r.Flow.Remote) || len(r.Request.OptionTags("Require")) > 0 {
			r.Unavailable("")
		}
		r.Respond(200, "")
	}))
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		flow := peer
		if stream {
			flow = sip.Flow{Transport: sip.TCP, Local: peer.Local, Remote: peer.Remote, Conn: 7}
		}
		_ = s.receiveStream(raw, flow) // what it sends has no socket to leave by
		for s.Handlers() > 0 {
			runtime.Gosched()
		}
		for range timerJRing {
			s.server.tick()
		}
		if n := s.server.len(); n != 0 {
			t.Fatalf("%d transactions are left", n)
		}
		m, err := sip.Parse(raw, stream)
		if m == nil || m.Status != 0 {
			return
		}
		r, rerr := newServerTx(m, flow)
		if r == nil {
			return
		}
		if rerr != nil {
			err = rerr
		}
		checkAnswer(t, r, err)
	})
}

// checkAnswer reads the answer to a request back; bad says that the request is.
func checkAnswer(t *testing.T, r *ServerTx, bad error) {
	t.Helper()
	out := (&answer{status: 200, reason: "OK", headers: []sip.Header{{Name: "Server", Value: "s"}}}).appendTo(nil, r)
	res, err := sip.Parse(out, true)
	if err != nil || res.Status != 200 {
		t.Fatalf("answered %q: %v", out, err)
	}
	if got, want := len(res.Values("Via")), len(r.Request.Values("Via")); got != want {
		t.Fatalf("%d Via values became %d: %q", want, got, out)
	}
	via, err := sip.ParseVia(res.Get("Via"))
	if err != nil || via.Branch() != r.Request.Via.Branch() || via.Host != r.Request.Via.Host || via.Port != r.Request.Via.Port {
		t.Fatalf("%q is answered with %q: %v", r.Request.Get("Via"), res.Get("Via"), err)
	}
	if bad != nil {
		return
	}
	for _, name := range []string{"From", "Call-ID", "CSeq"} {
		if res.Get(name) != r.Request.Get(name) {
			t.Fatalf("%s %q became %q", name, r.Request.Get(name), res.Get(name))
		}
	}
}

// FuzzWebSocket: whatever frames a client sends, its connection ends with them, and
// what it gets are frames.
func FuzzWebSocket(f *testing.F) {
	for _, raw := range torture(f) {
		whole := wsFrame(0x81, raw)
		f.Add(whole)
		f.Add(append(wsFrame(0x02, raw[:len(raw)/2]), wsFrame(0x80, raw[len(raw)/2:])...))
		f.Add(append(wsFrame(0x89, []byte("ping")), append(whole, wsFrame(0x88, []byte{3, 232})...)...))
	}
	f.Add(wsFrame(0x82, []byte("\r\n\r\n")))
	f.Add([]byte("\x81\x05hello"))                                      // not masked
	f.Add([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask"))       // a length beyond all reason
	f.Add([]byte("\xf1\x80maskGET / HTTP/1.1\r\n\r\n\x8f\xfe\x00\x7e")) // reserved bits, an odd opcode
	s := newStack(Config{StartTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}, echo)
	l := &streamListener{stack: s, transport: sip.WS, local: peer.Local}
	f.Fuzz(func(t *testing.T, raw []byte) {
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			l.upgrade(hijackable{header: http.Header{}, conn: far}, upgradeRequest())
		}()
		go func() {
			_, _ = near.Write(raw)
			time.Sleep(time.Millisecond)
			_ = near.Close()
		}()
		heard, _ := io.ReadAll(near)
		frames, ok := bytes.CutPrefix(heard, []byte("101 "))
		if !ok {
			t.Fatalf("heard %q", heard)
		}
		for frames != nil {
			frames = checkFrame(t, frames)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the connection outlives its client")
		}
		if n := s.Connections(); n != 0 {
			t.Fatalf("%d connections are left", n)
		}
	})
}

// checkFrame reads one frame of a server, and the message in it, and gives what is
// behind it; nil where the end was cut off.
func checkFrame(t *testing.T, b []byte) (rest []byte) {
	t.Helper()
	if len(b) < 4 {
		return nil
	}
	n, at := int(b[1]), 2
	if n == 126 {
		n, at = int(binary.BigEndian.Uint16(b[2:])), 4
	}
	if n > 126 && at == 2 || b[0]&0x70 != 0 {
		t.Fatalf("no frame of ours: %q", b)
	}
	if len(b) < at+n {
		return nil
	}
	message := b[at : at+n]
	if op := b[0] & 0x0f; op < 8 && string(message) != "\r\n" {
		if m, err := sip.Parse(message, true); err != nil || m.Status == 0 {
			t.Fatalf("no response: %q, %v", message, err)
		}
	}
	return b[at+n:]
}

// wsFrame is a frame as clients send them: masked, with the key 1 2 3 4.
func wsFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	for i, c := range payload {
		b = append(b, c^byte(i%4+1))
	}
	return b
}

// hijackable is what net/http gives a handler, without net/http.
type hijackable struct {
	header http.Header
	conn   net.Conn
}

func (h hijackable) Header() http.Header { return h.header }

func (h hijackable) Write(b []byte) (int, error) { return h.conn.Write(b) }

func (h hijackable) WriteHeader(status int) {
	_, _ = fmt.Fprint(h.conn, status, " ")
}

func (h hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

func upgradeRequest() *http.Request {
	return &http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "x", RemoteAddr: "192.0.2.1:40000",
		Header: http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}, "Sec-Websocket-Protocol": {"sip"},
		},
	}
}
