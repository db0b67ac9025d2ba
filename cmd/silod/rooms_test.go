package main

import (
	"strings"
	"testing"
)

// TestRoomRefuses: the SIP answer of a room says why not, with the code that imc's
// function has for it, and when to try again.
func TestRoomRefuses(t *testing.T) {
	s := serve(t, "imc.message_rate = 2")
	a := s.phone("udp", "alice")
	a.register(300)
	const room = "sip:chat-1@127.0.0.1"
	for _, step := range []struct {
		text, reason, code string
		status             int
		retry              bool
	}{
		{text: "hello", status: 500, reason: "no such room", code: "-200"},
		{text: "#frobnicate", status: 500, reason: "Unknown command", code: "-130"},
		{text: "#remove bob chat-2", status: 500, reason: "Too many messages", code: "-200", retry: true},
	} {
		answer := a.ask(a.request("MESSAGE", room, room, step.text, "Content-Type: text/plain"))
		first, _, _ := strings.Cut(answer, "\r\n")
		if status(answer) != step.status || !strings.HasSuffix(first, step.reason) {
			t.Errorf("%q is answered %q", step.text, first)
		}
		if got, want := header(answer, "Warning"), `399 127.0.0.1 "imc_manager `+step.code+`"`; got != want {
			t.Errorf("%q: Warning is %s, want %s", step.text, got, want)
		}
		if got := header(answer, "Retry-After"); (got != "") != step.retry || step.retry && got != "30" && got != "29" {
			t.Errorf("%q: Retry-After is %q", step.text, got)
		}
	}
	if answer := a.ask(a.request("MESSAGE", "sip:chat-2@127.0.0.1", "sip:chat-2@127.0.0.1", "#create", "Content-Type: text/plain")); status(answer) != 200 ||
		header(answer, "Warning") != "" || header(answer, "Retry-After") != "" {
		t.Errorf("#create is answered\n%s", answer)
	}
}
