package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// overAll runs a test over each transport.
func overAll(t *testing.T, f func(t *testing.T, network string)) {
	for _, network := range sipTransports {
		t.Run(network, func(t *testing.T) { f(t, network) })
	}
}

// TestArrivalOrder sends many messages at once, each twice: all are received in order, once, and
// answered as they were received.
func TestArrivalOrder(t *testing.T) {
	overAll(t, func(t *testing.T, network string) {
		p := newPeer(t, network)
		var got []string
		u := p.agent(sipSettings{receive: func(m *sipMessage) int {
			got = append(got, string(m.body))
			if string(m.body) == "5" {
				return gosip.StatusTemporarilyUnavailable
			}
			return gosip.StatusOK
		}})
		w := p.registered(u)
		const n = 50 // as many as fit the receive buffer of a UDP socket
		var want []string
		for i := range n {
			id := fmt.Sprint(i)
			want = append(want, id)
			w.send(text(id, id))
			w.send(text(id, id))
		}
		answers := map[string]int{}
		for len(answers) < n {
			a := p.next("SIP/2.0 ")
			id := strings.TrimPrefix(header(a.text, "Call-ID"), "call-")
			answers[id]++
			status := "SIP/2.0 200 OK\r\n"
			if id == "5" {
				status = "SIP/2.0 480 Temporarily Unavailable\r\n"
			}
			if !strings.HasPrefix(a.text, status) || !strings.Contains(header(a.text, "To"), ";tag=") ||
				header(a.text, "From") != `"Al \"the\" Ice" <sip:alice@example.org>;tag=a1` ||
				!strings.HasPrefix(header(a.text, "Via"), "SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK"+id+";rport") {
				t.Fatalf("message %s is answered\n%s", id, a.text)
			}
		}
		u.close()
		if !slices.Equal(got, want) {
			t.Errorf("received %q", got)
		}
	})
}

// TestRetransmission sends a message again after its answer.
func TestRetransmission(t *testing.T) {
	overAll(t, func(t *testing.T, network string) {
		p := newPeer(t, network)
		var calls atomic.Int32
		w := p.registered(p.agent(sipSettings{receive: func(*sipMessage) int { calls.Add(1); return gosip.StatusOK }}))
		for range 3 {
			w.send(text("1", "hello"))
			p.next("SIP/2.0 200 OK\r\n")
			time.Sleep(10 * time.Millisecond) // sipgo has ended the transaction of a stream
		}
		if n := calls.Load(); n != 1 {
			t.Errorf("one message was received %d times", n)
		}
	})
}

// TestResponseGoesFirst sends a message immediately after the response to REGISTER: it is
// received after that, whichever goroutine sipgo runs first.
func TestResponseGoesFirst(t *testing.T) {
	overAll(t, func(t *testing.T, network string) {
		for range 20 {
			p := newPeer(t, network)
			ctx, stop := context.WithCancel(t.Context())
			u := p.agent(sipSettings{receive: func(*sipMessage) int { stop(); return gosip.StatusOK }})
			go func() {
				w := p.next("REGISTER")
				w.send(answer(w.text, "200 OK", "Expires: 60"))
				w.send(text("1", "hello"))
				p.next("SIP/2.0 200 OK")
				if w = p.next("REGISTER"); header(w.text, "Expires") != "0" {
					t.Errorf("leaves with\n%s", w.text)
				}
				w.answer("200 OK")
			}()
			reports := 0
			if err := u.keepRegistered(ctx, time.Minute, func(time.Duration, error) { reports++ }); err != nil || reports != 1 {
				t.Fatalf("keepRegistered returns %v after %d reports", err, reports)
			}
		}
	})
}

func TestOtherRequests(t *testing.T) {
	p := newPeer(t, "udp")
	w := p.registered(p.agent(sipSettings{receive: func(*sipMessage) int { return gosip.StatusOK }}))
	for method, want := range map[string]string{
		"OPTIONS": "200 OK", "INVITE": "405 Method Not Allowed", "CANCEL": "481 Call/Transaction Does Not Exist", "NOTIFY": "405 Method Not Allowed",
	} {
		w.send(strings.ReplaceAll(text(method, ""), "MESSAGE", method))
		a := p.next("SIP/2.0 " + want)
		if method != "CANCEL" && header(a.text, "Allow") != "MESSAGE, OPTIONS" {
			t.Errorf("%s: Allow is %q", method, header(a.text, "Allow"))
		}
		if method == "INVITE" { // or the answer is repeated
			w.send(strings.ReplaceAll(text(method, ""), "MESSAGE", "ACK"))
		}
	}
	w.send(strings.ReplaceAll(text("ack", ""), "MESSAGE", "ACK"))
	w.send("\r\n\r\n")
	w.send("rubbish")
	w.send(strings.Replace(text("from", ""), "<sip:alice@example.org>", "nobody", 1))
	w.send(text("last", "")) // the only one that is answered
	if a := p.next("SIP/2.0 200 OK"); header(a.text, "Call-ID") != "call-last" {
		t.Errorf("answered:\n%s", a.text)
	}
}

// TestResponseOfAnySpelling repeats header fields in a form that RFC 3261 allows and sipgo
// does not find.
func TestResponseOfAnySpelling(t *testing.T) {
	p := newPeer(t, "udp")
	u := p.agent(sipSettings{})
	go func() {
		w := p.next("MESSAGE")
		a := answer(w.text, "202 Accepted")
		a = strings.NewReplacer(";branch=", " ; BRANCH = ", "CSeq: 1 ", "cseq:  1   ", "Via:", "v:").Replace(a)
		w.send(a)
	}()
	if res, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"}); err != nil || statusOf(res) != "202 Accepted" {
		t.Errorf("do returns %v, %v", res, err)
	}
}

func TestSentBytes(t *testing.T) {
	p := newPeer(t, "udp")
	u := p.agent(sipSettings{name: `Al "Ice" Ünal`})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := u.do(t.Context(), sipRequest{
			method: "MESSAGE", to: "Bob <sip:bob@example.org;user=ip>", body: []byte("связь\x00"),
			headers: []sip.Header{{Name: "Subject", Value: "two words"}, {Name: "Max-Forwards", Value: "5"}},
		})
		if err != nil {
			t.Error(err)
		}
	})
	w := p.next("MESSAGE")
	w.answer("200 OK")
	wg.Wait()
	random := regexp.MustCompile(`127\.0\.0\.1:\d+|[A-Z2-7]{26}\b|z9hG4bK\.\w+`)
	got := strings.ReplaceAll(random.ReplaceAllString(w.text, "*"), "\r\n", "\n")
	want := `MESSAGE sip:bob@example.org;user=ip SIP/2.0
Via: SIP/2.0/UDP *;branch=*;rport
CSeq: 1 MESSAGE
From: "Al \"Ice\" Ünal" <sip:bob@example.org>;tag=*
To: "Bob" <sip:bob@example.org;user=ip>
Call-ID: *
User-Agent: silod-phone
Subject: two words
Max-Forwards: 5
Content-Length: 11

связь` + "\x00"
	if got != want {
		t.Errorf("sent\n%q\nwant\n%q", got, want)
	}
}

func TestServerIsNotThere(t *testing.T) {
	for _, network := range sipTransports {
		t.Run(network, func(t *testing.T) {
			p := &peer{t: t, network: network, addr: "127.0.0.1:1"}
			start := time.Now()
			_, err := p.agent(sipSettings{}).do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
			want := "MESSAGE: no SIP server answers at " + network + ":127.0.0.1:1: connection refused"
			if !errors.Is(err, errNoServer) || err.Error() != want || time.Since(start) > 5*time.Second {
				t.Errorf("nothing listens: %v, want %s", err, want)
			}
		})
	}
	overAll(t, func(t *testing.T, network string) {
		p := newPeer(t, network)
		_, err := p.agent(sipSettings{timeout: time.Second}).do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
		if want := "MESSAGE: no answer in time (1s) from " + network + ":" + p.addr; err == nil || err.Error() != want {
			t.Errorf("silent server: %v, want %s", err, want)
		}
		if network == "udp" {
			return
		}
		p.next("MESSAGE")
		go func() { p.next("MESSAGE").drop() }()
		_, err = p.agent(sipSettings{}).do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
		if !errors.Is(err, errNoServer) || !strings.Contains(err.Error(), "the server closed the connection") {
			t.Errorf("connection closed: %v", err)
		}
		go func() { p.next("MESSAGE").send("this is\r\n not SIP\r\n\r\n") }()
		_, err = p.agent(sipSettings{}).do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
		if !errors.Is(err, errNoServer) || !strings.Contains(err.Error(), "the server sent data that is not SIP") {
			t.Errorf("not SIP: %v", err)
		}
	})
	t.Run("refused in the meantime", func(t *testing.T) {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &peer{t: t, network: "udp", addr: pc.LocalAddr().String()}
		u := p.agent(sipSettings{timeout: 20 * time.Second})
		go func() {
			pc.ReadFrom(make([]byte, 1<<16)) // and the retransmission is refused
			pc.Close()
		}()
		if _, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"}); !errors.Is(err, errNoServer) {
			t.Errorf("port closed while waiting: %v", err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		p := newPeer(t, "udp")
		_, err := p.agent(sipSettings{}).do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org", body: make([]byte, 70_000)})
		if err == nil || err.Error() != "MESSAGE: too long for a UDP datagram: use TCP" {
			t.Errorf("70,000 bytes over UDP: %v", err)
		}
	})
}

// TestSendOverTLS runs the command with and without the CA of the server.
func TestSendOverTLS(t *testing.T) {
	p := newPeer(t, "tls")
	send := func(more ...string) (int, string) {
		var out, errs bytes.Buffer
		args := append([]string{"send", "alice@example.org", "bob@example.org", "hi", "--server", p.addr, "--transport", "tls"}, more...)
		code := run(t.Context(), args, strings.NewReader(""), &out, &errs)
		return code, out.String() + errs.String()
	}
	if code, text := send(); code != exitRefused || !strings.Contains(text, "--ca") {
		t.Errorf("a CA that is not known: exit %d, %s", code, text)
	}
	go func() {
		w := p.next("MESSAGE")
		if !strings.HasPrefix(header(w.text, "Via"), "SIP/2.0/TLS 127.0.0.1:") {
			t.Errorf("sent\n%s", w.text)
		}
		w.answer("202 Accepted")
	}()
	if code, text := send("--ca", p.ca); code != exitDone || !strings.HasPrefix(text, "202 Accepted: stored") {
		t.Errorf("exit %d, %s", code, text)
	}
}

func TestCertificateNotTrusted(t *testing.T) {
	p := newPeer(t, "tls")
	u := p.agent(sipSettings{})
	u.cfg.roots = nil
	_, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
	if err == nil || !strings.Contains(err.Error(), "certificate") || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("a certificate that is not trusted: %v", err)
	}
}

func TestDigest(t *testing.T) {
	challenge := func(more string) string { return `WWW-Authenticate: Digest realm="r", nonce="n", ` + more }
	for _, tt := range []struct {
		name      string
		challenge []string // the second time too
		stale     bool
		want      string
	}{
		{"MD5", []string{challenge(`qop="auth"`)}, false, `qop=auth`},
		{"the known one of two", []string{challenge(`algorithm=SHA3`), challenge(`algorithm=SHA-256,qop="auth-int, auth"`)}, false, `algorithm=SHA-256`},
		{"stale nonce", []string{challenge(`qop="auth"`)}, true, `qop=auth`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t, "udp")
			u := p.agent(sipSettings{password: "secret"})
			go func() {
				first := p.next("MESSAGE")
				first.answer("401 Unauthorized", tt.challenge...)
				w := p.next("MESSAGE")
				if tt.stale {
					w.answer("401 Unauthorized", tt.challenge[0]+", stale=TRUE")
					w = p.next("MESSAGE")
				}
				if !strings.Contains(header(w.text, "Authorization"), tt.want) || header(w.text, "Via") == header(first.text, "Via") ||
					header(w.text, "CSeq") == header(first.text, "CSeq") || strings.Count(w.text, "Via:") != 1 {
					t.Errorf("first\n%s\nthen\n%s", first.text, w.text)
				}
				w.answer("200 OK")
			}()
			if res, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"}); err != nil || !res.IsSuccess() {
				t.Errorf("do returns %v, %v", res, err)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		p := newPeer(t, "udp")
		u := p.agent(sipSettings{password: "wrong"})
		go func() {
			p.next("MESSAGE").answer("401 Unauthorized", challenge(`qop="auth"`))
			p.next("MESSAGE").answer("401 Unauthorized", challenge(`qop="auth"`))
		}()
		if res, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"}); err != nil || res.StatusCode != 401 {
			t.Errorf("do returns %v, %v", res, err)
		}
	})
}

// TestCloseEndsEverything looks for goroutines of sipgo, and for the answer to the message that is
// being received.
func TestCloseEndsEverything(t *testing.T) {
	overAll(t, func(t *testing.T, network string) {
		p := newPeer(t, network)
		received, closing := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		u := p.agent(sipSettings{receive: func(*sipMessage) int {
			close(received)
			<-closing
			return gosip.StatusOK
		}})
		w := p.registered(u)
		w.send(text("1", "hello"))
		<-received
		w.send(text("2", "never received"))
		wg.Go(u.close)
		if a := p.next("SIP/2.0 480"); header(a.text, "Call-ID") != "call-2" {
			t.Errorf("answered\n%s", a.text)
		}
		close(closing)
		if a := p.next("SIP/2.0 200 OK"); header(a.text, "Call-ID") != "call-1" {
			t.Errorf("answered\n%s", a.text)
		}
		wg.Wait()
		deadline := time.Now().Add(5 * time.Second)
		for {
			buf := make([]byte, 1<<20)
			stacks := string(buf[:runtime.Stack(buf, true)])
			if !strings.Contains(stacks, "emiago/sipgo") {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("left running:\n%s", stacks)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// TestHeadersCannotBeInjected has line breaks in everything that a user can set: no request is sent,
// or one without a header field of that line.
func TestHeadersCannotBeInjected(t *testing.T) {
	p := newPeer(t, "udp")
	field := func(name, value string) []sip.Header { return []sip.Header{{Name: name, Value: value}} }
	for _, tt := range []struct {
		name, to string
		headers  []sip.Header
	}{
		{"Eve\r\nX-Evil: 1", "bob@example.org", nil},
		{"", "sip:bob@example.org\r\nX-Evil: 1", nil},
		{"", "\"B\r\nX-Evil: 1\" <sip:bob@example.org>", nil},
		{"", "bob@example.org", field("Content-Type", "text/plain\r\nX-Evil: 1")},
		{"", "bob@example.org", field("X: y\r\nX-Evil", "1")},
		{"", "bob@example.org", field("v", "SIP/2.0/UDP h")},
	} {
		u := p.agent(sipSettings{name: tt.name, timeout: 100 * time.Millisecond})
		_, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: tt.to, headers: tt.headers})
		switch {
		case tt.name == "" && (errors.Is(err, errNoAnswer) || err == nil):
			t.Errorf("%+v: %v", tt, err)
		case tt.name != "":
			if w := p.next("MESSAGE"); header(w.text, "X-Evil") != "" {
				t.Errorf("injected:\n%s", w.text)
			}
		}
	}
}
