package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tells sends texts to a room, each of which must be answered 200.
func (u *ua) tells(room string, texts ...string) {
	u.t.Helper()
	for _, text := range texts {
		if got := u.message(room, text); got != 200 {
			u.t.Fatalf("%s: %q is answered %d", u.aor, text, got)
		}
	}
}

// until returns the texts that an agent receives, up to one that contains end.
func (u *ua) until(end string) []string {
	u.t.Helper()
	var texts []string
	for {
		texts = append(texts, body(u.next()))
		if strings.Contains(texts[len(texts)-1], end) {
			return texts
		}
	}
}

// TestHistoryBeginsAtJoining checks on the running daemon that a member that was removed and invited
// again reads neither the messages before it joined nor those of the time between, also after a
// restart.
func TestHistoryBeginsAtJoining(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.register(300)
	b.register(300)
	a.tells(room1, "#create chat-1 private", "word one", "#invite bob")
	b.until("invites")
	b.tells(room1, "#accept")
	b.until("has joined")
	a.tells(room1, "word two", "#remove bob")
	b.until("You have been removed")
	a.tells(room1, "word three", "#invite bob")
	b.until("invites")
	b.tells(room1, "#accept")
	b.until("has joined")
	a.tells(room1, "word four")
	b.until("word four")
	for range 2 {
		for _, ask := range []string{"#history", "#history 1000", "#history since 7d"} {
			b.tells(room1, ask)
			got := b.until("Messages in chat-1")
			if text := got[len(got)-1]; strings.Count(text, "word") != 1 || !strings.Contains(text, "word four") {
				t.Errorf("%s: bob reads %q", ask, text)
			}
		}
		if n := len(s.call("imc_history", "chat-1").Nodes); n < 6 {
			t.Errorf("the operator sees %d entries", n)
		}
		s = s.restart()
	}
}

// TestRemovedMemberGetsNoWord checks that no word reaches a user after its removal has been
// acknowledged: neither those that wait in the engine behind one in flight, nor that one, at a device
// that registers then, nor later ones.
func TestRemovedMemberGetsNoWord(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.register(300)
	b.register(300)
	a.tells(room1, "#create")
	b.tells(room1, "#join")
	b.until("has joined")
	b.register(0)
	for i := range 20 {
		a.tells(room1, fmt.Sprintf("word %d", i))
	}
	b.autoReply.Store(0)
	b.register(300) // all words are in one page
	first := b.next()
	if !strings.Contains(body(first), "word 0") {
		t.Fatalf("bob gets\n%s", first)
	}
	a.tells(room1, "#remove bob", "word after")
	time.Sleep(time.Second) // beyond the first retransmission
	for len(b.requests) > 0 {
		if m := b.next(); strings.Contains(body(m), "word") && header(m, "Call-ID") != header(first, "Call-ID") {
			t.Errorf("bob gets\n%s", m)
		}
	}
	time.Sleep(time.Second) // beyond the second one
	c := s.phone("udp", "bob")
	c.register(300)
	for _, text := range c.until("You have been removed") {
		if strings.Contains(text, "word") {
			t.Errorf("bob gets %q", text)
		}
	}
	b.autoReply.Store(200)
	b.reply(first, 200)
	a.tells(room1, "word later")
	c.nothing()
	for len(b.requests) > 0 {
		if m := b.next(); strings.Contains(body(m), "word") {
			t.Errorf("bob gets\n%s", m)
		}
	}
}

// TestPrivateRoomIsHidden checks that the SIP answers and the texts to an outsider are the same for a
// private room and for none, and that the owner is told.
func TestPrivateRoomIsHidden(t *testing.T) {
	t.Parallel()
	s := serve(t, "imc.create_on_join = 0")
	a, m := s.phone("udp", "alice"), s.phone("udp", "mallory")
	a.register(300)
	m.register(300)
	a.tells(room1, "#create chat-1 private")
	a.until("You have created")
	const room2 = "sip:chat-2@127.0.0.1"
	for _, method := range []string{"MESSAGE", "OPTIONS", "SUBSCRIBE", "INVITE", "REGISTER", "PUBLISH"} {
		for _, text := range []string{"hello", "#join", "#accept", "#list", "#history", "#topic", "#catchup 3", "#history since 1h"} {
			answer := func(room string) string {
				got := m.ask(m.request(method, room, room, text, "Content-Type: text/plain", "Event: presence", "Expires: 60"))
				line, _, _ := strings.Cut(got, "\r\n")
				line += " " + header(got, "Warning") + header(got, "Allow") + header(got, "Accept")
				if method == "MESSAGE" {
					line += " " + body(m.next())
				}
				return strings.NewReplacer("chat-1", "ROOM", "chat-2", "ROOM").Replace(line)
			}
			if private, none := answer(room1), answer(room2); private != none {
				t.Errorf("%s %q:\n%s\n%s", method, text, private, none)
			}
		}
	}
	a.until("mallory tried to join chat-1")
}

// TestCatchUpMax checks that a member that comes back gets the last missed words only and is told
// once, that it can have the others, and that a restart changes nothing.
func TestCatchUpMax(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), "imc.catch_up_max = 10")
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	a.tells(room1, "#create")
	b.tells(room1, "#join")
	if got := a.message(bob, "a personal message stands before the words"); got != 202 {
		t.Fatalf("a personal message is answered %d", got)
	}
	for round := range 2 {
		for i := range 50 {
			a.tells(room1, fmt.Sprintf("%d/%d.", round, i))
		}
		if round == 1 {
			s = s.restart("imc.catch_up_max = 10")
		}
		b.register(300)
		got := b.until(fmt.Sprintf("%d/49.", round))
		if !strings.Contains(strings.Join(got, ""), "skipped: 4") {
			got = append(got, b.until("skipped: 4")...)
		}
		if len(got) != 11+1-round {
			t.Errorf("bob got %q", got)
		}
		b.tells(room1, "#catchup all")
		if got = b.until(fmt.Sprintf("%d/39.", round)); !strings.Contains(strings.Join(got, ""), "You get the messages") {
			b.until("You get the messages")
		}
		for i := range 40 {
			if want := fmt.Sprintf("[alice]: %d/%d.", round, i); !strings.Contains(strings.Join(got, "\n"), want) {
				t.Errorf("round %d: %q is missing", round, want)
			}
		}
		b.register(0)
	}
}
