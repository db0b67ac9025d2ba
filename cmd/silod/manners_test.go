package main

import (
	"strings"
	"testing"
	"time"
)

// TestRoomManners checks hashtags, slips, actions, nicknames, #who and the default limit of
// messages on the running daemon.
func TestRoomManners(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a, b := s.phone("udp", "alice"), s.phone("tcp", "bob")
	a.register(300)
	b.register(300)
	say := func(u *ua, text string, want int, reason string) {
		t.Helper()
		got := u.inRoom(room1, "", text)
		if first, _, _ := strings.Cut(got, "\r\n"); status(got) != want || !strings.HasSuffix(first, reason) {
			t.Fatalf("%.60q is answered\n%s", text, got)
		}
	}
	say(a, "#create", 200, "")
	a.reads("You have created chat-1 and own it...")
	say(b, "#join", 200, "")
	a.reads("bob has joined chat-1.")
	b.reads("bob has joined chat-1.")

	say(a, "#friday is near", 200, "")
	say(a, "##exit", 200, "")
	say(a, "/me waves", 200, "")
	b.reads("[alice]: #friday is near", "[alice]: #exit", "* alice waves")
	say(a, "#exti", 500, "Unknown command")
	a.reads("#exti is not a command. Did you mean #exit? Write ##exti to say it.")
	for _, wrong := range []string{"#history 0", "#modify bob", "#list " + strings.Repeat("x", 20_000), "#ban \xff\x00", "#who are you", "#create a b c"} {
		if got := a.inRoom(room1, "", wrong); status(got) != 500 {
			t.Errorf("%.60q is answered\n%s", wrong, got)
		}
		if text := body(a.next()); !strings.Contains(text, "Usage: #") || strings.ContainsAny(text, "\r\n") || len(text) > 1000 {
			t.Errorf("%.60q is answered with %q", wrong, text)
		}
	}

	say(b, "#nick Bobby", 200, "")
	a.reads("bob is now called Bobby.")
	b.reads("bob is now called Bobby.")
	say(b, "hello", 200, "")
	a.reads("[Bobby]: hello")
	say(a, "#nick b0b", 500, "Nickname is taken")
	a.reads("b0b is, or looks like, the name of another user or of the room.")

	s.settled()
	s = s.restart()
	a, b = s.phone("udp", "alice"), s.phone("tcp", "bob")
	a.register(300)
	b.register(300)
	say(b, "/me is back", 200, "")
	a.reads("* Bobby is back")
	say(a, "#who", 200, "")
	a.reads("Online in chat-1: 2 of 2\n*alice\nbob, called Bobby")

	// No human meets the limit, and a flood does.
	start, refused := time.Now(), 0
	for i := range 700 {
		if got := b.inRoom(room1, "", "word"); status(got) != 200 {
			if refused++; header(got, "Retry-After") == "" || i < 500 {
				t.Fatalf("word %d is answered\n%s", i, got)
			}
		}
	}
	if refused == 0 && time.Since(start) < 9*time.Second {
		t.Errorf("700 words in %v are not too many", time.Since(start))
	}
}

// TestNickOfAccount checks that a nickname cannot be the name of a user of this server that is
// not in the room.
func TestNickOfAccount(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	s.call("sub_add", "dorothea", "secret")
	a := s.phone("tcp", "alice")
	a.login(asAlice)
	for _, step := range []struct {
		text   string
		status int
		answer string
	}{
		{"#create", 200, "You have created chat-1 and own it..."},
		{"#nick Dorothea", 500, "Dorothea is, or looks like, the name of another user or of the room."},
		{"#nick dorothea", 500, "dorothea is, or looks like, the name of another user or of the room."},
		{"#nick Theodora", 200, "alice is now called Theodora."},
	} {
		request := a.request("MESSAGE", room1, room1, step.text, "Content-Type: text/plain")
		if got := a.proven(asAlice, request); status(got) != step.status {
			t.Errorf("%s is answered\n%s", step.text, got)
		}
		a.reads(step.answer)
	}
}
