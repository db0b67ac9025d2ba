package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"silod/sip"
)

// An okReceiver answers every request 200.
type okReceiver struct{ layer *Layer }

func (okReceiver) AcceptSource(sip.Flow) bool { return true }
func (okReceiver) FlowClosed(sip.Flow)        {}

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
	for _, raw := range torture(f) {
		whole := wsFrame(0x81, raw)
		f.Add(whole)
		f.Add(append(wsFrame(0x02, raw[:len(raw)/2]), wsFrame(0x80, raw[len(raw)/2:])...))
		f.Add(append(wsFrame(0x89, []byte("ping")), append(whole, wsFrame(0x88, []byte{3, 232})...)...))
	}
	f.Add(wsFrame(0x82, []byte("\r\n\r\n")))
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
			ln.upgrade(hijackable{header: http.Header{}, conn: far}, upgradeRequest())
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

// wsFrame returns a WebSocket frame of a client: masked, with the key 1 2 3 4.
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

// torture returns the messages of RFC 4475 and RFC 5118, by name.
func torture(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "rfc*", "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatal("no messages found", err)
	}
	messages := map[string][]byte{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		messages[strings.TrimSuffix(filepath.Base(name), ".dat")] = raw
	}
	return messages
}

const timeout = 10 * time.Second

var peer = sip.Flow{
	Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070"),
}
