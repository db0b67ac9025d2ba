package phone_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"silod/e2e/phone"
)

// registered returns a registered phone, its server, and its REGISTER, whose send reaches the
// phone.
func registered(t *testing.T, network string, cfg phone.Config) (*phone.Phone, *peer, *wire) {
	t.Helper()
	srv := newPeer(t, network)
	cfg.Server = srv.server()
	bob := open(t, cfg)
	lines := make(chan *wire, 1)
	go func() {
		w := srv.next("REGISTER")
		w.register(60)
		lines <- w
	}()
	if res, _, err := bob.Register(t.Context(), time.Minute); err != nil || !res.OK() {
		t.Fatalf("Register returns %v, %v", res, err)
	}
	return bob, srv, <-lines
}

func TestReceive(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		bob, srv, line := registered(t, network, phone.Config{})
		raw := request("1", "zwei\r\nZeilen, ✓", "s: short form", `X-Odd: methods="INVITE, MESSAGE"; a`, "X-Long: one\r\n  two")
		line.send(raw)
		m, err := bob.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Raw) != raw {
			t.Errorf("raw\n%q\nwant\n%q", m.Raw, raw)
		}
		for _, c := range []struct{ what, got, want string }{
			{"method", m.Method, "MESSAGE"},
			{"Request-URI", m.URI, "sip:bob@127.0.0.1:9"},
			{"text", m.Text(), "zwei\r\nZeilen, ✓"},
			{"type", m.ContentType(), "text/plain;charset=utf-8"},
			{"display name", m.From.Name, `Al "the" Ice`},
			{"sender", m.From.URI.String(), "sip:alice@example.org"},
			{"From as written", m.Headers.Get("From"), `"Al \"the\" Ice" <sip:alice@example.org>;tag=a1`},
			{"Subject", m.Headers.Get("Subject"), "short form"},
			{"quotes", m.Headers.Get("x-odd"), `methods="INVITE, MESSAGE"; a`},
			{"folded", m.Headers.Get("X-Long"), "one two"},
			{"Call-ID", m.CallID, "call-1"},
			{"source", m.Source.String(), srv.addr},
		} {
			if c.got != c.want {
				t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
			}
		}
		w := srv.next("SIP/2.0 200 OK")
		if w.header("Via") != "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1" || w.header("CSeq") != "7 MESSAGE" ||
			w.header("Call-ID") != "call-1" || !strings.HasPrefix(w.header("To"), "<sip:bob@example.org>;tag=") ||
			w.header("From") != `"Al \"the\" Ice" <sip:alice@example.org>;tag=a1` || w.header("Content-Length") != "0" {
			t.Errorf("answer is\n%s", w.raw)
		}
		line.send(raw)
		if again := srv.next("SIP/2.0 200 OK"); again.raw != w.raw {
			t.Errorf("retransmission is answered\n%s\nfirst was\n%s", again.raw, w.raw)
		}
		line.send(request("2", "next"))
		if m, err := bob.Next(t.Context()); err != nil || m.Text() != "next" {
			t.Errorf("after a retransmission comes %v, %v", m, err)
		}
	})
}

func TestScriptedAnswers(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		var calls atomic.Int32
		script := map[string]phone.Answer{
			"busy":   {Code: 486},
			"later":  {Code: 503, Reason: "Not\r\nX-Evil: 1", Headers: phone.Headers{{Name: "Retry-After", Value: "9"}}},
			"silent": {Silent: true},
			"slow":   {Delay: 150 * time.Millisecond},
			"odd":    {Code: 499, Headers: phone.Headers{{Name: "X", Value: "a\r\nX-Evil: 1"}}},
		}
		_, srv, line := registered(t, network, phone.Config{Receive: func(m *phone.Message) phone.Answer {
			calls.Add(1)
			return script[m.Text()]
		}})
		line.send(request("slow", "slow"))
		line.send(request("silent", "silent"))
		line.send(request("silent", "silent"))
		line.send(request("busy", "busy"))
		srv.next("SIP/2.0 486 Busy Here") // before the delayed answer
		line.send(request("later", "later"))
		if w := srv.next("SIP/2.0 503 Not  X-Evil: 1"); w.header("Retry-After") != "9" || w.header("X-Evil") != "" {
			t.Errorf("503 is\n%s", w.raw)
		}
		line.send(request("odd", "odd"))
		if w := srv.next("SIP/2.0 499 Answer 4xx"); w.header("X-Evil") != "" {
			t.Errorf("499 is\n%s", w.raw)
		}
		if w := srv.next("SIP/2.0 200 OK"); w.header("Call-ID") != "call-slow" {
			t.Errorf("the last answer is\n%s", w.raw)
		}
		if n := calls.Load(); n != 5 {
			t.Errorf("Receive was called %d times, want 5: a retransmission is not a message", n)
		}
	})
}

func TestOtherRequests(t *testing.T) {
	_, srv, line := registered(t, "udp", phone.Config{})
	for method, want := range map[string]string{
		"OPTIONS": "200 OK", "INVITE": "405 Method Not Allowed",
		"CANCEL": "481 Call/Transaction Does Not Exist", "NOTIFY": "405 Method Not Allowed",
	} {
		line.send(strings.NewReplacer("MESSAGE", method).Replace(request(method, "")))
		w := srv.next("SIP/2.0 " + want)
		if method != "CANCEL" && w.header("Allow") != "MESSAGE, OPTIONS" {
			t.Errorf("%s: Allow is %q", method, w.header("Allow"))
		}
	}
	line.send(strings.ReplaceAll(request("ack", ""), "MESSAGE", "ACK"))
	line.send("\r\n\r\n")
	line.send("rubbish")
	line.send("MESSAGE sip:bob@h SIP/2.0\r\nVia: x\r\n\r\n")
	line.send(strings.Replace(request("from", ""), "<sip:alice@example.org>", "nobody", 1))
	line.send(request("last", "")) // the only one that is answered
	if w := srv.next("SIP/2.0 200 OK"); w.header("Call-ID") != "call-last" {
		t.Errorf("answered:\n%s", w.raw)
	}
}

func TestStreamFraming(t *testing.T) {
	bob, _, line := registered(t, "tcp", phone.Config{})
	var all strings.Builder
	for i := range 3 {
		all.WriteString("\r\n\r\n" + request(fmt.Sprint("f", i), fmt.Sprintf("text %d\r\n\r\n", i)))
	}
	for piece := range strings.SplitSeq(all.String(), "") { // one octet at a time
		line.send(piece)
	}
	line.send(request("g1", "one write") + request("g2", "two messages") + "\r\n")
	for _, want := range []string{"text 0\r\n\r\n", "text 1\r\n\r\n", "text 2\r\n\r\n", "one write", "two messages"} {
		m, err := bob.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Text() != want || !strings.HasPrefix(string(m.Raw), "MESSAGE ") || !strings.HasSuffix(string(m.Raw), want) {
			t.Fatalf("got %q, want %q", m.Raw, want)
		}
	}
	big := request("big", strings.Repeat("x", 200_000))
	line.send(big)
	if m, err := bob.Next(t.Context()); err != nil || string(m.Raw) != big {
		t.Fatalf("a large message: %v", err)
	}
}

func TestReceiverMaySend(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		var bob *phone.Phone
		ready := make(chan struct{})
		bob, srv, line := registered(t, network, phone.Config{Receive: func(m *phone.Message) phone.Answer {
			<-ready
			if _, err := bob.Send(t.Context(), m.From.URI.String(), "", []byte("thanks")); err != nil {
				return phone.Answer{Code: 500}
			}
			return phone.Answer{}
		}})
		close(ready)
		line.send(request("1", "hello"))
		srv.next("MESSAGE sip:alice@example.org").answer("200 OK")
		srv.next("SIP/2.0 200 OK")
	})
}

func TestCloseAnswersTheMessageInReceive(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		var bob *phone.Phone
		ready := make(chan struct{})
		bob, srv, line := registered(t, network, phone.Config{Receive: func(*phone.Message) phone.Answer {
			<-ready
			go bob.Close()
			for { // until Close has begun
				if _, err := bob.Open(t.Context()); errors.Is(err, phone.ErrClosed) {
					return phone.Answer{}
				}
			}
		}})
		close(ready)
		line.send(request("1", "hello"))
		srv.next("SIP/2.0 200 OK")
	})
}

func TestFullInbox(t *testing.T) {
	bob, srv, line := registered(t, "tcp", phone.Config{})
	for i := range 256 {
		line.send(request(fmt.Sprint(i), fmt.Sprint(i)))
		srv.next("SIP/2.0 200 OK")
	}
	line.send(request("more", "more"))
	if w := srv.next("SIP/2.0 503"); w.header("Retry-After") == "" {
		t.Errorf("a full inbox answers\n%s", w.raw)
	}
	for i := range 256 {
		if m, err := bob.Next(t.Context()); err != nil || m.Text() != fmt.Sprint(i) {
			t.Fatalf("message %d is %v, %v", i, m, err)
		}
	}
	line.send(request("again", "again"))
	srv.next("SIP/2.0 200 OK")
}

// TestPhoneToPhone has a server that passes bytes between two phones.
func TestPhoneToPhone(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		bob, srv, toBob := registered(t, network, phone.Config{})
		alice := open(t, phone.Config{AoR: "sip:alice@example.org", Name: "Alice", Server: srv.server()})
		go func() {
			w := srv.next("MESSAGE")
			toBob.send(w.raw)
			res := srv.next("SIP/2.0 200")
			w.send(res.raw)
		}()
		res, err := alice.Send(t.Context(), "sip:bob@example.org", "text/html", []byte("<b>ü</b>"))
		if err != nil || !res.OK() {
			t.Fatalf("Send returns %v, %v", res, err)
		}
		m, err := bob.Next(t.Context())
		if err != nil || m.Text() != "<b>ü</b>" || m.ContentType() != "text/html" || m.From.Name != "Alice" || m.CallID != res.CallID {
			t.Errorf("bob has %+v, %v", m, err)
		}
	})
}
