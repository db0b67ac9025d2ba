package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// sized is hi with another Content-Length.
func sized(length int) []string {
	return hiWith("Content-Length", fmt.Sprint("Content-Length: ", length))
}

// TestFraming sends messages whose ends are hard to find, or differ from their Content-Length
// (RFC 3261 section 18.3).
func TestFraming(t *testing.T) {
	d := serve(t)
	status := func(t *testing.T, w *wire, want int) {
		t.Helper()
		if res := w.answer(); res.status != want {
			t.Errorf("want %d:\n%s", want, res)
		}
	}
	for _, tt := range []struct {
		name    string
		network string
		run     func(t *testing.T, w *wire)
		stored  []string // for bob
	}{
		{"bytes after the body of a datagram", "udp", func(t *testing.T, w *wire) {
			w.send(w.request(sized(4), "bodyMESSAGE and more"))
			status(t, w, 202)
		}, []string{"body"}},
		{"a datagram without Content-Length", "udp", func(t *testing.T, w *wire) {
			w.send(w.request(without("Content-Length"), "up to the end\r\n"))
			status(t, w, 202)
		}, []string{"up to the end\r\n"}},
		{"a datagram that is too short", "udp", func(t *testing.T, w *wire) {
			w.send(w.request(sized(100), "body"))
			status(t, w, 400)
		}, nil},
		{"a datagram without an empty line", "udp", func(t *testing.T, w *wire) {
			w.send(strings.TrimRight(w.request(sized(0), ""), "\r\n"))
			status(t, w, 400)
		}, nil},
		{"the largest datagram", "udp", func(t *testing.T, w *wire) {
			w.send(w.request(sized(60_000), strings.Repeat("x", 60_000)))
			status(t, w, 202)
		}, []string{strings.Repeat("x", 60_000)}},
		{"keep-alives and empty datagrams", "udp", func(t *testing.T, w *wire) {
			for _, raw := range []string{"", "\r\n\r\n", "\x00\x00\x00\x00", "x"} {
				if _, err := w.conn.Write([]byte(raw)); err != nil {
					t.Fatal(err)
				}
			}
			w.silent()
		}, nil},

		{"two requests at once", "tcp", func(t *testing.T, w *wire) {
			w.send(w.message("bob", "one") + w.message("carol", "two"))
			status(t, w, 202)
			status(t, w, 202)
		}, []string{"one"}},
		{"byte by byte", "tcp", func(t *testing.T, w *wire) {
			for _, b := range []byte(w.message("bob", "slow")) {
				w.send(string(b))
			}
			status(t, w, 202)
		}, []string{"slow"}},
		{"line ends without carriage return", "tcp", func(t *testing.T, w *wire) {
			w.send(strings.ReplaceAll(w.message("bob", "unix"), "\r\n", "\n"))
			status(t, w, 202)
		}, []string{"unix"}},
		{"folded lines and compact names", "tcp", func(t *testing.T, w *wire) {
			raw := strings.NewReplacer("From: ", "f:\r\n \t", "To: ", "t : ", "Call-ID", "i", "Via", "V", "Content-Length", "l", "Content-Type", "C")
			w.send(raw.Replace(w.message("bob", "folded")))
			status(t, w, 202)
		}, []string{"folded"}},
		{"ping", "tcp", func(t *testing.T, w *wire) { // RFC 5626 section 3.5.1
			w.send("\r\n\r\n")
			_ = w.conn.SetReadDeadline(time.Now().Add(patience))
			if pong, err := w.r.ReadString('\n'); pong != "\r\n" {
				t.Errorf("the answer to a ping is %q, %v", pong, err)
			}
			w.send("\r\n" + w.message("bob", "after a line end"))
			status(t, w, 202)
		}, []string{"after a line end"}},
		{"a stream without Content-Length", "tcp", func(t *testing.T, w *wire) { // section 20.14
			w.send(w.request(without("Content-Length"), "where does it end?"))
			status(t, w, 400)
			w.closed()
		}, nil},
		{"an invalid Content-Length", "tcp", func(t *testing.T, w *wire) {
			w.send(w.request(hiWith("Content-Length", "Content-Length: 2e1"), "where does it end?"))
			status(t, w, 400)
			w.closed()
		}, nil},
		{"a body that is not sent", "tcp", func(t *testing.T, w *wire) {
			w.send(w.request(sized(100), "body"))
			w.silent()
			w.conn.Close()
		}, nil},
		{"half a header", "tcp", func(t *testing.T, w *wire) {
			w.send("MESSAGE " + uri("bob") + " SIP/2.0\r\nVia: SIP/2.")
			w.silent()
			w.conn.Close()
		}, nil},
		{"a body that is too large", "tcp", func(t *testing.T, w *wire) { // section 21.5.7
			w.send(w.request(sized(70_000), strings.Repeat("x", 70_000)))
			status(t, w, 513)
		}, nil},
		{"a body that is far too large", "tcp", func(t *testing.T, w *wire) {
			w.send(w.request(sized(2_000_000_000), ""))
			status(t, w, 513)
		}, nil},
		{"a header without an end", "tcp", func(t *testing.T, w *wire) {
			w.send("MESSAGE " + uri("bob") + " SIP/2.0\r\nX: " + strings.Repeat("x", 70_000))
			w.closed()
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := dial(t, tt.network, d.addr)
			tt.run(t, w)
			d.checkAlive(t)
			d.awaitStored(t, "bob", tt.stored...)
			if _, err := d.call("silo_purge", uri("bob")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestMessageSize has a limit that a datagram can reach.
func TestMessageSize(t *testing.T) {
	d := serve(t, "sip.max_message_size = 4000")
	for _, network := range []string{"udp", "tcp"} {
		for size, want := range map[int]int{3_000: 202, 3_999: 513, 4_001: 513, 9_000: 513} {
			w := dial(t, network, d.addr)
			w.send(w.message("bob", strings.Repeat("x", size)))
			if res := w.answer(); res.status != want {
				t.Errorf("%d bytes of text over %s, want %d:\n%s", size, network, want, res)
			}
		}
	}
}

// TestSameNamesAnotherText: some phones seed their random numbers with the same value at each
// start. A message with the branch, tag and Call-ID of another one, but another text, is a
// new message.
func TestSameNamesAnotherText(t *testing.T) {
	d := serve(t)
	w := dial(t, "udp", d.addr)
	raw := w.message("bob", "first")
	for _, m := range []string{raw, strings.Replace(raw, "first", "other", 1), raw} {
		w.send(m)
		if res := w.answer(); res.status != 202 {
			t.Errorf("want 202:\n%s", res)
		}
	}
	d.awaitStored(t, "bob", "first", "other")
}
