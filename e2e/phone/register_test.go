package phone_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"silod/e2e/phone"
)

// keep runs KeepRegistered; stop ends it and returns its error.
func keep(t *testing.T, p *phone.Phone, expires time.Duration) (reports chan string, stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	reports = make(chan string, 100)
	done := make(chan error, 1)
	go func() {
		done <- p.KeepRegistered(ctx, expires, func(d time.Duration, err error) {
			if err != nil {
				reports <- err.Error()
				return
			}
			reports <- d.String()
		})
	}()
	return reports, func() error { cancel(); return <-done }
}

func report(t *testing.T, reports chan string, want string) {
	t.Helper()
	select {
	case got := <-reports:
		if !strings.Contains(got, want) {
			t.Fatalf("report %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no report %q", want)
	}
}

func TestKeepRegistered(t *testing.T) {
	networks(t, func(t *testing.T, network string) {
		srv := newPeer(t, network)
		bob := open(t, phone.Config{Server: srv.server()})
		reports, stop := keep(t, bob, 10*time.Minute)
		w := srv.next("REGISTER")
		if w.header("Expires") != "600" {
			t.Errorf("asks for %s", w.header("Expires"))
		}
		w.answer("423 Interval Too Brief", "Min-Expires: 3600")
		w = srv.next("REGISTER")
		if w.header("Expires") != "3600" {
			t.Errorf("then for %s", w.header("Expires"))
		}
		w.register(1)
		report(t, reports, "1s")
		srv.next("REGISTER").answer("503 Service Unavailable")
		report(t, reports, "REGISTER refused: 503 Service Unavailable")
		srv.next("REGISTER").register(100)
		report(t, reports, "1m40s")
		go func() {
			w := srv.next("REGISTER")
			if w.header("Expires") != "0" {
				t.Errorf("leaves with Expires %s", w.header("Expires"))
			}
			w.answer("200 OK")
		}()
		if err := stop(); err != nil {
			t.Errorf("KeepRegistered returns %v", err)
		}
	})
}

func TestKeepRegisteredOverANewConnection(t *testing.T) {
	srv := newPeer(t, "tcp")
	bob := open(t, phone.Config{Server: srv.server()})
	reports, stop := keep(t, bob, time.Minute)
	first := srv.next("REGISTER")
	first.register(60)
	report(t, reports, "1m0s")
	first.drop()
	second := srv.next("REGISTER")
	if second.header("Contact") == first.header("Contact") {
		t.Error("the new connection has the old contact")
	}
	second.register(60)
	report(t, reports, "1m0s")
	second.send(request("1", "over the new one"))
	if m, err := bob.Next(t.Context()); err != nil || m.Text() != "over the new one" {
		t.Errorf("got %v, %v", m, err)
	}
	srv.next("SIP/2.0 200 OK")
	go func() { srv.next("REGISTER").answer("200 OK") }()
	if err := stop(); err != nil {
		t.Errorf("KeepRegistered returns %v", err)
	}
}

func TestKeepRegisteredGivesUp(t *testing.T) {
	srv := newPeer(t, "udp")
	bob := open(t, phone.Config{Server: srv.server()})
	go func() { srv.next("REGISTER").answer("403 Not Yours") }()
	err := bob.KeepRegistered(t.Context(), time.Minute, nil)
	var refused *phone.Refusal
	if !errors.As(err, &refused) || refused.Code != 403 || err.Error() != "REGISTER refused: 403 Not Yours" {
		t.Errorf("refused: %v", err)
	}
	alone := open(t, phone.Config{Server: "127.0.0.1:1"})
	if err := alone.KeepRegistered(t.Context(), time.Minute, nil); !errors.Is(err, phone.ErrUnreachable) {
		t.Errorf("without a server: %v", err)
	}
	go func() { srv.next("REGISTER").answer("200 OK", "Expires: 0") }()
	if err := bob.KeepRegistered(t.Context(), time.Minute, nil); err == nil || !strings.Contains(err.Error(), "kept no registration") {
		t.Errorf("nothing granted: %v", err)
	}
}
