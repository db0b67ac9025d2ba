package main

import (
	"strings"
	"testing"
)

// Without a commit there is no 2xx.
func TestNoStoreNo2xx(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const room = "sip:chat-1@127.0.0.1"
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	if got := b.message(room, "#create chat-1"); got != 200 {
		t.Fatalf("create: %d", got)
	}
	d := s.phone("udp", "dan")
	d.register(300)
	// The engine is woken after the 200, so first wait for the handler to end.
	s.eventually("an idle daemon", func() bool { return s.daemon.transactions.Handlers() == 0 && s.engine.Active() == 0 })
	if err := s.database.Close(); err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]string{
		"a message for somebody offline": a.request("MESSAGE", "sip:carol@127.0.0.1", "sip:carol@127.0.0.1", "hello", "Content-Type: text/plain"),
		"a registration":                 a.request("REGISTER", "sip:127.0.0.1", alice, "", "Contact: <sip:alice@127.0.0.1:9>"),
		"a text to a room":               b.request("MESSAGE", room, room, "hello", "Content-Type: text/plain"),
		"a room's creation":              b.request("MESSAGE", "sip:chat-2@127.0.0.1", "sip:chat-2@127.0.0.1", "#create chat-2", "Content-Type: text/plain"),
	} {
		for try := range 2 { // a retransmission is tried again and gets the same response
			if got := a.ask(request); status(got) != 503 || header(got, "Retry-After") == "" {
				t.Errorf("%s, try %d: answered\n%s", name, try, got)
			}
		}
	}
	// Requests that need no store succeed.
	if got := a.message("sip:dan@127.0.0.1", "hello"); got != 200 {
		t.Errorf("a relayed message: %d", got)
	}
}

// Requests that are not supported or not allowed are refused with their status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := serve(t, "sip.domains = ['example.org']")
	a := s.phone("udp", "alice")
	huge := strings.Repeat("x", 60_000)
	for _, tc := range []struct {
		name, request string
		status        int
		header, value string
	}{
		{"foreign domain", a.request("MESSAGE", "sip:bob@elsewhere.example", "sip:bob@elsewhere.example", "x"), 403, "", ""},
		{"foreign Route", a.request("MESSAGE", bob, bob, "x", "Route: <sip:elsewhere.example;lr>"), 403, "", ""},
		{"own Route", a.request("MESSAGE", bob, bob, "x", "Route: <sip:127.0.0.1;lr>"), 202, "", ""},
		{"foreign registration", a.request("REGISTER", "sip:elsewhere.example", "sip:bob@elsewhere.example", "", "Contact: <sip:b@h>"), 404, "", ""},
		{"no user", a.request("MESSAGE", "sip:example.org", "sip:example.org", "x"), 404, "", ""},
		{"other scheme", a.request("MESSAGE", "tel:+1555", "tel:+1555", "x"), 416, "", ""},
		{"bad URI", a.request("MESSAGE", "sip:@example.org", "sip:bob@example.org", "x"), 400, "", ""},
		{"no hops left", strings.Replace(a.request("MESSAGE", bob, bob, "x"), "Forwards: 70", "Forwards: 0", 1), 483, "", ""},
		{"bad hops", strings.Replace(a.request("MESSAGE", bob, bob, "x"), "Forwards: 70", "Forwards: many", 1), 400, "", ""},
		{"unknown extension", a.request("MESSAGE", bob, bob, "x", "Require: time-travel, path"), 420, "Unsupported", "time-travel"},
		{"call", a.request("INVITE", bob, bob, "x"), 405, "Allow", "REGISTER, MESSAGE, OPTIONS"},
		{"subscription", a.request("SUBSCRIBE", bob, bob, "x"), 405, "Allow", "REGISTER, MESSAGE, OPTIONS"},
		{"unknown method", a.request("DANCE", bob, bob, "x"), 501, "Allow", "REGISTER, MESSAGE, OPTIONS"},
		{"empty body", a.request("MESSAGE", bob, bob, ""), 480, "", ""},
		{"brief", a.request("REGISTER", "sip:example.org", "sip:a@example.org", "", "Contact: <sip:b@h>", "Expires: 5"), 200, "Contact", "<sip:b@h>;expires=60"},
		{"bad contact", a.request("REGISTER", "sip:example.org", "sip:a@example.org", "", "Contact: <sip:b@"), 400, "", ""},
		{"a room's name", a.request("REGISTER", "sip:example.org", "sip:chat-1@example.org", "", "Contact: <sip:b@h>"), 403, "", ""},
		{"large", a.request("MESSAGE", bob, bob, huge, "Content-Type: text/plain"), 202, "", ""},
	} {
		got := a.ask(tc.request)
		if status(got) != tc.status || header(got, tc.header) != tc.value {
			t.Errorf("%s: answered\n%s", tc.name, got)
		}
	}
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are stored, want the two that were accepted", n)
	}
}
