package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestProxyIsUs sets each outbound proxy to an address of silod itself: messages are delivered
// as without one.
func TestProxyIsUs(t *testing.T) {
	t.Parallel()
	for _, uri := range []string{"sip:127.0.0.1:PORT", "sip:silod@127.0.0.1:PORT;transport=tcp;lr", "sip:localhost:PORT"} {
		t.Run(uri, func(t *testing.T) {
			t.Parallel()
			s := serveIn(t, t.TempDir(), fixedPort(t))
			own := strings.Replace(uri, "PORT", fmt.Sprint(s.addr("udp").Port()), 1)
			s = s.restart("sip.outbound_proxy = '"+own+"'", "silo.outbound_proxy = '"+own+"'", "imc.outbound_proxy = '"+own+"'", retriedSoon)
			a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
			if got := a.message(bob, "hello"); got != 202 {
				t.Errorf("answered %d", got)
			}
			row := s.row()
			time.Sleep(1500 * time.Millisecond)
			s.unmoved(row)
			b.register(300)
			if got := body(b.next()); got != "hello" {
				t.Errorf("delivered %q", got)
			}
			if n := s.router.Stats.Messages.Value(); n != 1 {
				t.Errorf("%d MESSAGEs were handled for one", n)
			}
			b.message("sip:chat-1@127.0.0.1", "#create")
			b.message("sip:chat-1@127.0.0.1", "#help")
			b.next()
			if n := strings.Count(s.log.String(), "it counts as not set"); n != 3 {
				t.Errorf("%d notes in the log", n)
			}
		})
	}
}

// TestProxyIsTriedLater checks when a stored message is sent to an outbound proxy: at a
// REGISTER that silod sees, at the command of an administrator, or after silo.retry.
func TestProxyIsTriedLater(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*served){
		"register": func(s *served) { s.phone("udp", "bob").register(300) },
		"deliver":  func(s *served) { s.call("silo_dump", "bob") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := between(t)
			s := serve(t, "silo.outbound_proxy = 'sip:"+p.addr()+"'", "silo.retry = '1h'", "silo.max_retry = '1h'")
			p.answers(200)
			for _, text := range []string{"1", "2", "3"} {
				if got := s.phone("udp", "alice").message(bob, text); got != 202 {
					t.Fatalf("answered %d", got)
				}
			}
			time.Sleep(silence)
			if n := len(p.requests("MESSAGE")); n != 0 {
				t.Errorf("%d messages were sent although nothing is known of bob", n)
			}
			start(s)
			s.eventually("the delivery", func() bool { return s.stored() == 0 })
			var got []string
			for _, m := range p.requests("MESSAGE") {
				got = append(got, body(m))
			}
			if fmt.Sprint(got) != "[1 2 3]" {
				t.Errorf("delivered %q", got)
			}
		})
	}
}

// TestBackOff checks that the time between tries doubles up to silo.max_retry.
func TestBackOff(t *testing.T) {
	t.Parallel()
	p := between(t)
	s := serve(t, "silo.outbound_proxy = 'sip:"+p.addr()+"'", retriedSoon, "silo.max_retry = '2s'")
	begun := time.Now()
	s.phone("udp", "alice").message(bob, "hello")
	row := s.row()
	for i, least := range []time.Duration{time.Second, 3 * time.Second, 5 * time.Second} {
		p.awaitRequests("MESSAGE", i+1)
		if took := time.Since(begun); took < least-100*time.Millisecond {
			t.Errorf("attempt %d after %v, want %v", i+1, took, least)
		}
	}
	s.unmoved(row)
}

// TestRoomProxy checks that imc.outbound_proxy gets everything that rooms send: texts, answers
// to commands and invitations, and that messages of users do not go there.
func TestRoomProxy(t *testing.T) {
	t.Parallel()
	rooms, users := between(t), between(t)
	rooms.answers(200)
	users.answers(200)
	s := serve(t, "imc.outbound_proxy = 'sip:"+rooms.addr()+"'", "silo.outbound_proxy = 'sip:"+users.addr()+"'", retriedSoon)
	const room = "sip:chat-1@127.0.0.1"
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.message(room, "#create")
	for _, text := range []string{"#help", "#list", "#add bob", "#invite carol"} {
		if got := a.message(room, text); got != 200 {
			t.Errorf("%s: answered %d", text, got)
		}
	}
	b.message(room, "hello")
	a.message("sip:dave@127.0.0.1", "to dave")
	to := map[string]bool{}
	s.eventually("all messages", func() bool {
		for _, m := range rooms.requests("MESSAGE") {
			to[strings.Fields(m)[1]] = true
		}
		return to[alice] && to[bob] && to["sip:carol@127.0.0.1"] && len(users.requests("MESSAGE")) == 1
	})
	if n := len(rooms.requests("MESSAGE")); n < 4 || to["sip:dave@127.0.0.1"] {
		t.Errorf("%d messages of rooms, to %v", n, to)
	}
	s.eventually("the end of all rows", func() bool { return s.stored() == 0 })
}

// TestUserProxy checks that a message for a user without a registration goes to sip.user_proxy
// first, and is stored if it is not accepted there.
func TestUserProxy(t *testing.T) {
	t.Parallel()
	p := between(t)
	s := serve(t, "sip.user_proxy = 'sip:"+p.addr()+"'", "silo.retry = '1h'", "silo.max_retry = '1h'")
	a, c := s.phone("udp", "alice"), s.phone("udp", "carol")
	c.register(300)
	for _, tt := range []struct{ proxy, want, stored int }{{200, 200, 0}, {603, 603, 0}, {404, 202, 1}} {
		p.answers(tt.proxy)
		if got := a.message(bob, "hello"); got != tt.want {
			t.Errorf("the proxy answers %d, silod %d", tt.proxy, got)
		}
		if n := s.stored(); n != tt.stored {
			t.Errorf("the proxy answers %d, and %d messages are stored", tt.proxy, n)
		}
	}
	row := s.row()
	p.returnTo(s.addr("udp")) // by a mistake in its configuration
	if got := a.message("sip:dave@127.0.0.1", "hello"); got != 202 {
		t.Errorf("a loop is answered %d", got)
	}
	if n := s.stored(); n != 2 || !strings.Contains(row, "bob") {
		t.Errorf("%d messages are stored, the first is %s", n, row)
	}
	if got := a.message("sip:carol@127.0.0.1", "hello"); got != 200 {
		t.Errorf("for a registered user: answered %d", got)
	}
	if got := a.message("sip:chat-1@127.0.0.1", "#create"); got != 200 {
		t.Errorf("for a room: answered %d", got)
	}
	if n := len(p.requests("MESSAGE")); n != 4 {
		t.Errorf("the proxy got %d messages", n)
	}
}
