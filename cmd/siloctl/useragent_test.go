package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
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

// peer is a SIP server that a test plays: it reads messages and writes text.
type peer struct {
	t       *testing.T
	network string
	addr    string
	ca      string // the file of its certificate, for tls
	got     chan wire
}

// wire is a message that arrived at a peer.
type wire struct {
	text string
	send func(string)
	drop func()
}

func (w wire) answer(status string, more ...string) { w.send(answer(w.text, status, more...)) }

func newPeer(t *testing.T, network string) *peer {
	t.Helper()
	p := &peer{t: t, network: network, got: make(chan wire, 1000)}
	if network == "udp" {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		p.addr = pc.LocalAddr().String()
		go func() {
			buf := make([]byte, 1<<16)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				p.got <- wire{string(buf[:n]), func(s string) { pc.WriteTo([]byte(s), from) }, func() {}}
			}
		}()
		return p
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if network == "tls" {
		var cert tls.Certificate
		cert, p.ca = certificate(t)
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	t.Cleanup(func() { l.Close() })
	p.addr = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				r := bufio.NewReader(c)
				for {
					m, err := readMessage(r)
					if err != nil {
						return
					}
					p.got <- wire{m, func(s string) { c.Write([]byte(s)) }, func() { c.Close() }}
				}
			}()
		}
	}()
	return p
}

// certificate makes one for 127.0.0.1, and a file that trusts it.
func certificate(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "silod"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// next returns the next message, which begins with start.
func (p *peer) next(start string) wire {
	p.t.Helper()
	select {
	case w := <-p.got:
		if !strings.HasPrefix(w.text, start) {
			p.t.Errorf("got %q, want %s", w.text, start)
		}
		return w
	case <-time.After(10 * time.Second):
		p.t.Fatalf("no %s arrived", start)
		return wire{}
	}
}

// agent returns a user agent of bob at the peer.
func (p *peer) agent(cfg sipSettings) *userAgent {
	p.t.Helper()
	cfg.aor = "sip:bob@example.org"
	if cfg.timeout == 0 {
		cfg.timeout = 10 * time.Second
	}
	var err error
	if cfg.server, err = parseEndpoint(p.network + ":" + p.addr); err != nil {
		p.t.Fatal(err)
	}
	if p.ca != "" {
		if cfg.roots, err = readRoots(p.ca); err != nil {
			p.t.Fatal(err)
		}
	}
	u, err := newUserAgent(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(u.close)
	return u
}

// registered registers the user agent and returns the way to it.
func (p *peer) registered(u *userAgent) wire {
	p.t.Helper()
	ws := make(chan wire, 1)
	go func() {
		defer close(ws)
		w := p.next("REGISTER")
		w.answer("200 OK")
		ws <- w
	}()
	if res, _, err := u.register(p.t.Context(), time.Minute); err != nil || !res.IsSuccess() {
		p.t.Fatalf("register returns %v, %v", res, err)
	}
	return <-ws
}

// text returns a MESSAGE to bob; id makes it one of its own.
func text(id, body string) string {
	return "MESSAGE sip:bob@127.0.0.1:9 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK" + id + ";rport\r\n" +
		"Max-Forwards: 70\r\nFrom: \"Al \\\"the\\\" Ice\" <sip:alice@example.org>;tag=a1\r\nTo: <sip:bob@example.org>\r\n" +
		"Call-ID: call-" + id + "\r\nCSeq: 7  MESSAGE\r\nContent-Type: text/plain\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

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

// TestRetransmission has a message come again after it was answered.
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

// TestAnswerGoesFirst has a message behind the answer to REGISTER: that is received with the
// registration done, whatever goroutine sipgo runs first.
func TestAnswerGoesFirst(t *testing.T) {
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

// TestResponseOfAnySpelling has a server write what it repeats in another form, which RFC 3261
// allows and sipgo does not read.
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

func TestNothingThere(t *testing.T) {
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
		if !errors.Is(err, errNoServer) || !strings.Contains(err.Error(), "the server sent what is not SIP") {
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

func TestCertificateNotTrusted(t *testing.T) {
	p := newPeer(t, "tls")
	u := p.agent(sipSettings{})
	u.cfg.roots = nil
	_, err := u.do(t.Context(), sipRequest{method: "MESSAGE", to: "bob@example.org"})
	if err == nil || !strings.Contains(err.Error(), "certificate") || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("certificate that nothing trusts: %v", err)
	}
}

func TestKeepRegistered(t *testing.T) {
	p := newPeer(t, "tcp")
	got := make(chan string, 1)
	u := p.agent(sipSettings{receive: func(m *sipMessage) int { got <- string(m.body); return gosip.StatusOK }})
	ctx, stop := context.WithCancel(t.Context())
	var reports []string
	var wg sync.WaitGroup
	wg.Go(func() {
		err := u.keepRegistered(ctx, 10*time.Second, func(granted time.Duration, err error) {
			reports = append(reports, fmt.Sprint(granted, err))
		})
		if err != nil {
			t.Error(err)
		}
	})
	p.next("REGISTER").answer("423 Interval Too Brief", "Min-Expires: 3600")
	w := p.next("REGISTER")
	if header(w.text, "Expires") != "3600" {
		t.Errorf("asks for %s seconds", header(w.text, "Expires"))
	}
	w.answer("200 OK", "Contact: "+header(w.text, "Contact")+";expires=50")
	w.drop()
	p.next("REGISTER").answer("503 Service Unavailable")
	second := p.next("REGISTER")
	if header(second.text, "Contact") == header(w.text, "Contact") {
		t.Error("the new connection has the old contact")
	}
	second.answer("200 OK")
	second.send(text("1", "over the new one"))
	if m := <-got; m != "over the new one" {
		t.Errorf("received %q", m)
	}
	p.next("SIP/2.0 200 OK")
	stop()
	p.next("REGISTER").answer("200 OK")
	wg.Wait()
	want := []string{"50s <nil>", "0s REGISTER refused: 503 Service Unavailable", "1h0m0s <nil>"}
	if !slices.Equal(reports, want) {
		t.Errorf("reports are %q", reports)
	}
}

func TestDigestAgain(t *testing.T) {
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
