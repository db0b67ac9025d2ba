package phone_test

import (
	"context"
	"errors"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"silod/e2e/phone"
)

func open(t *testing.T, cfg phone.Config) *phone.Phone {
	t.Helper()
	if cfg.AoR == "" {
		cfg.AoR = "sip:bob@example.org"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	p, err := phone.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// networks runs a test over UDP and over TCP.
func networks(t *testing.T, f func(t *testing.T, network string)) {
	for _, n := range []string{"udp", "tcp"} {
		t.Run(n, func(t *testing.T) { f(t, n) })
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  phone.Config
		want string
	}{
		{"no address", phone.Config{Server: "127.0.0.1"}, "own address"},
		{"no user", phone.Config{Server: "127.0.0.1", AoR: "sip:example.org"}, "names no user"},
		{"tel", phone.Config{Server: "127.0.0.1", AoR: "tel:+123"}, "unsupported URI scheme"},
		{"no server", phone.Config{AoR: "bob@example.org"}, "empty host"},
		{"TLS", phone.Config{AoR: "bob@example.org", Server: "sip:h;transport=tls"}, "only UDP and TCP"},
		{"contact", phone.Config{AoR: "bob@example.org", Server: "h", ContactParams: ";a=1\r\nX: y"}, "contact parameters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := phone.New(tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New returns %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRegister(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		srv := newPeer(t, network)
		bob := open(t, phone.Config{Server: srv.server(), ContactParams: ";q=0.5"})
		local, err := bob.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			w := srv.next("REGISTER sip:example.org SIP/2.0")
			w.answer("100 Trying")
			w.register(90)
		}()
		res, lasts, err := bob.Register(t.Context(), 2*time.Minute)
		if err != nil || res.Code != 200 || lasts != 90*time.Second {
			t.Fatalf("Register returns %v, %v, %v", res, lasts, err)
		}
		contact := "<sip:bob@" + local.String() + map[string]string{"tcp": ";transport=tcp"}[network] + ">;q=0.5"
		if got := strings.TrimSuffix(res.Headers.Get("m"), ";expires=90"); got != contact {
			t.Errorf("registered %s, want %s", got, contact)
		}
		go func() {
			w := srv.next("REGISTER")
			if w.header("Expires") != "0" || w.header("Call-ID") != res.CallID || w.header("CSeq") != "2 REGISTER" {
				t.Errorf("un-REGISTER is\n%s", w.raw)
			}
			w.answer("200 OK")
		}()
		if res, err := bob.Unregister(t.Context()); err != nil || !res.OK() {
			t.Errorf("Unregister returns %v, %v", res, err)
		}
	})
}

func TestSend(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		srv := newPeer(t, network)
		alice := open(t, phone.Config{AoR: "alice@example.org", Server: srv.server()})
		for _, status := range []string{"202 Accepted", "404 Not Found", "603 Decline", "200 "} {
			go func() {
				w := srv.next("MESSAGE sip:bob@example.org SIP/2.0")
				w.answer("180 Ringing")
				w.answer(status, "X-Why: stored")
			}()
			res, err := alice.Send(t.Context(), "bob@example.org", "", []byte("hi"))
			if err != nil {
				t.Fatal(err)
			}
			if res.String() != strings.TrimSpace(status) || res.Headers.Get("X-Why") != "stored" {
				t.Errorf("answer %v %v, want %s", res, res.Headers, status)
			}
		}
	})
}

func TestSentBytes(t *testing.T) {
	srv := newPeer(t, "udp")
	alice := open(t, phone.Config{AoR: "alice@example.org", Name: `Al "Ice" Ünal`, Server: srv.addr})
	body := "first line\r\nсвязь ✓\n\nlast\x00"
	errs := make(chan error, 1)
	go func() {
		_, err := alice.Send(t.Context(), "Bob <sip:bob@example.org;user=ip>", "", []byte(body),
			phone.Header{Name: "Subject", Value: "two words"}, phone.Header{Name: "Max-Forwards", Value: "5"})
		errs <- err
	}()
	w := srv.next("MESSAGE")
	w.answer("200 OK")
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	random := regexp.MustCompile(`127\.0\.0\.1:\d+|[A-Z2-7]{26}\b`)
	got := strings.ReplaceAll(random.ReplaceAllString(w.raw, "*"), "\r\n", "\n")
	want := `MESSAGE sip:bob@example.org;user=ip SIP/2.0
Via: SIP/2.0/UDP *;rport;branch=z9hG4bK*
CSeq: 1 MESSAGE
From: "Al \"Ice\" Ünal" <sip:alice@example.org>;tag=*
To: "Bob" <sip:bob@example.org;user=ip>
Call-ID: *
User-Agent: silod-phone
Content-Type: text/plain;charset=utf-8
Subject: two words
Max-Forwards: 5
Content-Length: 33

first line
связь ✓

last` + "\x00"
	if got != want {
		t.Errorf("sent\n%q\nwant\n%q", got, want)
	}
	if w.body != body {
		t.Errorf("body %q, want %q", w.body, body)
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	srv := newPeer(t, "udp")
	alice := open(t, phone.Config{Server: srv.addr, Name: "Eve\r\nX-Evil: 1"})
	for _, send := range []func() error{
		func() error {
			_, err := alice.Send(t.Context(), "bob@example.org", "text/plain\r\nX-Evil: 1", nil)
			return err
		},
		func() error {
			_, err := alice.Send(t.Context(), "bob@example.org", "", nil, phone.Header{Name: "Subject", Value: "a\nX-Evil: 1"})
			return err
		},
		func() error {
			_, err := alice.Send(t.Context(), "bob@example.org", "", nil, phone.Header{Name: "X: y\r\nX-Evil", Value: "1"})
			return err
		},
		func() error {
			_, err := alice.Send(t.Context(), "bob@example.org", "", nil, phone.Header{Name: "v", Value: "SIP/2.0/UDP h"})
			return err
		},
		func() error {
			_, err := alice.Send(t.Context(), "sip:bob@example.org\r\nX-Evil: 1", "", nil)
			return err
		},
		func() error {
			_, err := alice.Send(t.Context(), "\"B\r\nX-Evil: 1\" <sip:bob@example.org>", "", nil)
			return err
		},
		func() error {
			_, err := alice.Do(t.Context(), phone.Request{Method: "A B", To: "bob@example.org"})
			return err
		},
		func() error {
			_, err := alice.Do(t.Context(), phone.Request{Method: "MESSAGE", To: "bob@example.org", CallID: "a\r\nX-Evil: 1"})
			return err
		},
	} {
		ctx, done := context.WithCancel(t.Context())
		go func() { // a request that is sent must be harmless
			select {
			case w := <-srv.got:
				if w.header("X-Evil") != "" {
					t.Errorf("injected:\n%s", w.raw)
				}
				w.answer("200 OK")
			case <-ctx.Done():
			}
		}()
		if err := send(); err != nil && errors.Is(err, phone.ErrTimeout) {
			t.Error(err)
		}
		done()
	}
}

func TestRequestIsRetransmitted(t *testing.T) {
	srv := newPeer(t, "udp")
	alice := open(t, phone.Config{Server: srv.addr})
	go func() {
		first, second := srv.next("MESSAGE"), srv.next("MESSAGE")
		if first.raw != second.raw {
			t.Errorf("retransmission differs:\n%s\n%s", first.raw, second.raw)
		}
		second.answer("200 OK")
		second.answer("500 Late") // after the end of its transaction
	}()
	if res, err := alice.Send(t.Context(), "bob@example.org", "", nil); err != nil || res.Code != 200 {
		t.Errorf("Send returns %v, %v", res, err)
	}
}

func TestServerIsNotThere(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		srv := newPeer(t, network)
		alice := open(t, phone.Config{Server: "sip:127.0.0.1:1;transport=" + network})
		_, err := alice.Send(t.Context(), "bob@example.org", "", nil)
		want := "MESSAGE: no SIP server answers at " + network + ":127.0.0.1:1: connection refused"
		if !errors.Is(err, phone.ErrUnreachable) || err.Error() != want {
			t.Errorf("without a listener: %v, want %s", err, want)
		}

		silent := open(t, phone.Config{Server: srv.server(), Timeout: 50 * time.Millisecond})
		_, err = silent.Send(t.Context(), "bob@example.org", "", nil)
		if !errors.Is(err, phone.ErrTimeout) || !strings.Contains(err.Error(), srv.addr) {
			t.Errorf("silent server: %v", err)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go func() { srv.next("MESSAGE"); srv.next("MESSAGE"); cancel() }()
		if _, err := open(t, phone.Config{Server: srv.server()}).Send(ctx, "bob@example.org", "", nil); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
	t.Run("local address", func(t *testing.T) {
		p := open(t, phone.Config{Server: "127.0.0.1:1", Local: "203.0.113.1"})
		if _, err := p.Open(t.Context()); err == nil || !strings.Contains(err.Error(), "local address 203.0.113.1") {
			t.Errorf("Open returns %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		srv := newPeer(t, network)
		if network == "tcp" { // so that the goroutine of the peer for a connection runs already
			c, err := net.Dial("tcp", srv.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		bob := open(t, phone.Config{Server: srv.server(), Receive: func(*phone.Message) phone.Answer {
			return phone.Answer{Delay: time.Hour}
		}})
		errs := make(chan error)
		go func() { _, err := bob.Send(t.Context(), "alice@example.org", "", nil); errs <- err }()
		srv.next("MESSAGE").send(request("1", "hello"))
		bob.Close()
		if err := <-errs; !errors.Is(err, phone.ErrClosed) {
			t.Errorf("a request that waits: %v", err)
		}
		if _, err := bob.Send(t.Context(), "alice@example.org", "", nil); !errors.Is(err, phone.ErrClosed) {
			t.Errorf("Send afterwards: %v", err)
		}
		if _, err := bob.Next(t.Context()); !errors.Is(err, phone.ErrClosed) {
			t.Errorf("Next afterwards: %v", err)
		}
		if stacks := stacksOf("e2e/phone.(*"); stacks != "" {
			t.Errorf("left running:\n%s", stacks)
		}
	})
}

// stacksOf returns the stacks of goroutines in code with a name.
func stacksOf(name string) string {
	buf := make([]byte, 1<<20)
	var found []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, name) {
			found = append(found, g)
		}
	}
	return strings.Join(found, "\n\n")
}
