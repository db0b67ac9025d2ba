package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"silod/sip/internal/siptest"

	"silod/sip"
)

// An okReceiver answers every request 200.
type okReceiver struct{ layer *Layer }

func (okReceiver) AcceptSource(sip.Flow) bool    { return true }
func (okReceiver) Trusted(sip.Flow) bool         { return false }
func (okReceiver) Expects([]byte, sip.Flow) bool { return false }
func (okReceiver) FlowClosed(sip.Flow)           {}

func (r okReceiver) Receive(raw []byte, from Origin) (Job, error) {
	m, err := sip.Parse(raw, from.Flow.Transport.IsByteStream())
	if err == nil && m.Status == 0 {
		res := sip.Message{Status: 200, Reason: "OK", Headers: m.Headers}
		_ = r.layer.Send(from.Flow, res.AppendTo(nil))
	}
	return nil, nil
}

// FuzzWebSocket passes any bytes to a WebSocket. It checks that the connection is closed after
// the client has closed it, and that the client receives only valid frames.
func FuzzWebSocket(f *testing.F) {
	for _, raw := range siptest.Torture(f, "../..") {
		whole := siptest.Frame(0x81, raw)
		f.Add(whole)
		f.Add(append(siptest.Frame(0x02, raw[:len(raw)/2]), siptest.Frame(0x80, raw[len(raw)/2:])...))
		f.Add(append(siptest.Frame(0x89, []byte("ping")), append(whole, siptest.Frame(0x88, []byte{3, 232})...)...))
	}
	f.Add(siptest.Frame(0x82, []byte("\r\n\r\n")))
	f.Add([]byte("\x81\x05hello"))                                      // no mask
	f.Add([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xffmask"))       // a huge length
	f.Add([]byte("\xf1\x80maskGET / HTTP/1.1\r\n\r\n\x8f\xfe\x00\x7e")) // reserved bits and opcode
	l := New(Options{StartTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second})
	l.receiver = okReceiver{l}
	ln := &streamListener{layer: l, transport: sip.WS, local: peer.Local}
	f.Fuzz(func(t *testing.T, raw []byte) {
		near, far := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			r := upgradeRequest()
			ln.upgrade(hijackable{header: http.Header{}, conn: far}, r.WithContext(context.WithValue(r.Context(), connKey{}, far)))
		}()
		go func() {
			_, _ = near.Write(raw)
			time.Sleep(time.Millisecond)
			_ = near.Close()
		}()
		received, _ := io.ReadAll(near)
		frames, ok := bytes.CutPrefix(received, []byte("101 "))
		if !ok {
			t.Fatalf("received %q", received)
		}
		for frames != nil {
			frames = checkFrame(t, frames)
		}
		select {
		case <-ended:
		case <-time.After(timeout):
			t.Fatal("the connection is still open")
		}
		if n := l.Connections(); n != 0 {
			t.Fatalf("%d connections are open", n)
		}
	})
}

// checkFrame checks one frame of a server and the message in it. It returns the bytes after
// it, or nil if the frame is incomplete.
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
		t.Fatalf("invalid frame: %q", b)
	}
	if len(b) < at+n {
		return nil
	}
	message := b[at : at+n]
	if op := b[0] & 0x0f; op < 8 && string(message) != "\r\n" {
		if m, err := sip.Parse(message, true); err != nil || m.Status == 0 {
			t.Fatalf("not a response: %q, %v", message, err)
		}
	}
	return b[at+n:]
}

// A hijackable is an http.ResponseWriter over a connection.
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

const timeout = 10 * time.Second

var peer = sip.Flow{
	Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070"),
}
