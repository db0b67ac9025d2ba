package main

import (
	"fmt"
	"strings"
	"testing"
)

// As in the failure route of the documentation of msilo, the message is stored after these
// responses.
func TestRejectedByThePhone(t *testing.T) {
	t.Parallel()
	for sender, answers := range map[int][]int{
		202: {404, 405, 408, 415, 480, 486, 500, 503},
		0:   {202, 403, 413, 603, 604, 606}, // the sender gets the response of the phone
	} {
		for _, answer := range answers {
			t.Run(fmt.Sprint(answer), func(t *testing.T) {
				t.Parallel()
				s := serve(t)
				a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
				b.register(300)
				b.autoReply.Store(int32(answer))
				want, stored := sender, 1
				if sender == 0 {
					want, stored = answer, 0
				}
				if got := a.message(bob, "hello"); got != want {
					t.Errorf("answered %d, want %d", got, want)
				}
				if n := s.stored(); n != stored {
					t.Errorf("%d messages are stored, want %d", n, stored)
				}
			})
		}
	}
}

func TestStoreOn(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.store_on = ['403', '5xx', '!503']")
	a := s.phone("udp", "alice")
	for answer, want := range map[int]int{403: 202, 404: 404, 486: 486, 500: 202, 503: 500} { // RFC 3261 section 16.7
		user := fmt.Sprint("user", answer)
		b := s.phone("udp", user)
		b.register(300)
		b.autoReply.Store(int32(answer))
		if got := a.message("sip:"+user+"@127.0.0.1", "hello"); got != want {
			t.Errorf("the phone answers %d: answered %d, want %d", answer, got, want)
		}
	}
}

// Ephemeral media types, such as typing notifications, are not stored.
func TestEphemeral(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.ephemeral = ['application/im-iscomposing+xml', 'x/*']", "sip.accept_timeout = '1s'")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	for _, kind := range []string{"application/im-iscomposing+xml", "Application/IM-isComposing+XML ;charset=utf-8", "x/y"} {
		send := func(want int) {
			t.Helper()
			if got := status(a.ask(a.request("MESSAGE", bob, bob, "<x/>", "Content-Type: "+kind))); got != want {
				t.Errorf("%s: answered %d, want %d", kind, got, want)
			}
		}
		send(200) // offline
		b.register(300)
		b.autoReply.Store(202)
		send(202)
		if got := body(b.next()); got != "<x/>" {
			t.Errorf("%s: got %q", kind, got)
		}
		b.autoReply.Store(486)
		send(200)
		b.next()
		b.autoReply.Store(0)
		send(200)
		b.next()
		b.register(0)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
	if got := a.message(bob, "words"); got != 202 {
		t.Errorf("words: %d", got)
	}
}

func TestDiscard(t *testing.T) {
	t.Parallel()
	s := serve(t, "silo.discard = ['message/imdn+xml']")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	for _, to := range []string{bob, "sip:carol@127.0.0.1", "sip:chat-1@127.0.0.1"} {
		if got := status(a.ask(a.request("MESSAGE", to, to, "<imdn/>", "Content-Type: message/imdn+xml"))); got != 200 {
			t.Errorf("to %s: answered %d", to, got)
		}
	}
	b.nothing()
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

// A message with Expires: 0 is not stored, and does not wait for stored messages.
func TestNowOrNever(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	if got := a.message(bob, "offline", "Expires: 0"); got != 480 {
		t.Errorf("offline: %d", got)
	}
	a.message(bob, "waits")
	b.autoReply.Store(486)
	b.register(300)
	b.next()
	b.autoReply.Store(200)
	if got := a.message(bob, "now", "Expires: 0"); got != 200 {
		t.Errorf("online: %d", got)
	}
	if got := body(b.next()); got != "now" {
		t.Errorf("got %q", got)
	}
}

// Responses to MESSAGE have no Contact and no body (RFC 3428 section 7), and forwarded and
// delivered messages have no Contact (section 4).
func TestFormOfMessages(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	for _, want := range []int{202, 200} {
		got := a.ask(a.request("MESSAGE", bob, bob, "hello", "Content-Type: text/plain", "Contact: <sip:alice@127.0.0.1:9>"))
		if status(got) != want || header(got, "Contact") != "" || body(got) != "" || header(got, "Content-Type") != "" {
			t.Errorf("answered\n%s", got)
		}
		if want == 202 {
			b.register(300)
		}
		if m := b.next(); header(m, "Contact") != "" || header(m, "Record-Route") != "" {
			t.Errorf("received\n%s", m)
		}
		s.settled()
	}
}

// A device that does not support MESSAGE receives none.
func TestDeviceWithoutMessage(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"Allow":            {"Contact: <sip:bob@%s>", "Allow: INVITE, ACK, BYE"},
		"methods":          {`Contact: <sip:bob@%s>;methods="INVITE, ACK"`},
		"methods in front": {`Contact: <sip:bob@%s>;methods="INVITE"`, "Allow: MESSAGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			a, call, text := s.phone("udp", "alice"), s.phone("udp", "bob"), s.phone("tcp", "bob")
			contact := fmt.Sprintf(lines[0], call.conn.LocalAddr())
			more := append([]string{contact}, lines[1:]...)
			if got := call.ask(call.request("REGISTER", "sip:127.0.0.1", bob, "", more...)); status(got) != 200 {
				t.Fatalf("registered: %s", got)
			}
			if got := a.message(bob, "hello"); got != 202 {
				t.Errorf("answered %d", got)
			}
			call.nothing()
			text.register(300)
			if got := body(text.next()); got != "hello" {
				t.Errorf("got %q", got)
			}
			s.settled()
			if got := a.message(bob, "again"); got != 200 {
				t.Errorf("answered %d", got)
			}
			text.next()
			call.nothing()
		})
	}
}

// A body that is too large is refused and not stored.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.max_message_size = 2000")
	a := s.phone("tcp", "alice")
	if got := a.ask(a.request("MESSAGE", bob, bob, strings.Repeat("x", 3000), "Content-Type: text/plain")); status(got) != 513 && status(got) != 413 {
		t.Errorf("answered\n%s", got)
	}
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}
