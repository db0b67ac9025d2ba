package main

import (
	"fmt"
	"strings"
	"testing"
)

// A resident is a user of a test with an account and a phone.
type resident struct {
	*ua
	login login
}

// resident adds an account and registers its phone.
func (s *served) resident(user string) *resident {
	s.t.Helper()
	l := login{user: user, password: user + "'s password"}
	s.call("sub_add", user+"@127.0.0.1", l.password)
	r := &resident{s.phone("udp", user), l}
	r.ua.login(l)
	return r
}

// says sends a text to a room and checks the status of the answer.
func (r *resident) says(room, text string, want int) {
	r.t.Helper()
	if got := r.proven(r.login, r.text(room, text)); status(got) != want {
		r.t.Fatalf("%s: %q is answered\n%s", r.aor, text, got)
	}
}

// gone checks that a user has no place in chat-1, no contacts and no messages.
func (s *served) gone(user string) {
	s.t.Helper()
	if n, err := s.tryCall("imc_room_member", "chat-1", user); err == nil && strings.Contains(fmt.Sprintf("%+v", n), "yes") {
		s.t.Errorf("%s is a member still: %+v", user, n)
	}
	if s.rooms.HasUser(s.aor(user)) || s.location.Online(s.aor(user)) {
		s.t.Errorf("%s is in a room, or registered", user)
	}
}

// TestAccountRemoved removes the account of a room's owner in each way, and makes a new account of
// the same name, which inherits nothing.
func TestAccountRemoved(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*served){
		"command": func(s *served) { s.call("sub_remove", "alice") },
		"case":    func(s *served) { s.call("sub_remove", "ALICE@127.0.0.1") },
		"other program": func(s *served) {
			s.census.Check(s.t.Context())
			s.sql(`DELETE FROM subscriber WHERE username = 'alice'`)
			s.census.Check(s.t.Context())
		},
		"other account": func(s *served) {
			s.census.Check(s.t.Context())
			s.sql(`DELETE FROM subscriber WHERE username = 'alice'`)
			s.sql(`INSERT INTO subscriber (id, username, domain, password, ha1) VALUES (77, 'alice', '127.0.0.1', 'next', 'next')`)
			s.census.Check(s.t.Context())
			s.call("sub_remove", "alice")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, withDigest)
			a, b, c := s.resident("alice"), s.resident("bob"), s.resident("carol")
			s.call("sub_add", "dave@127.0.0.1", "dave's password")
			a.says(room1, "#create private", 200)
			a.says("sip:chat-2@127.0.0.1", "#create", 200)
			a.says(room1, "#invite dave", 200)
			b.says("sip:chat-3@127.0.0.1", "#create", 200)
			b.says("sip:chat-3@127.0.0.1", "#ban alice", 200)
			for _, r := range []*resident{b, c} {
				a.says(room1, "#invite "+r.login.user, 200)
				r.says(room1, "#join", 200)
			}
			a.says(room1, "#modify carol admin", 200)
			s.settled()
			old := a.ua
			for len(old.requests) > 0 {
				<-old.requests
			}
			remove(s)
			s.gone("alice")
			c.says(room1, "after the end", 200)
			b.hears("alice, the owner of chat-1, has left: the account has been removed. carol is now the owner.", "[carol]: after the end")
			old.nothing()
			if got := s.rooms.HasUser(s.aor("dave")); !got {
				t.Error("the invitation of dave is gone")
			}

			s.call("sub_add", "alice@127.0.0.1", "another password")
			n := &resident{s.phone("udp", "alice"), login{user: "alice", password: "another password"}}
			n.ua.login(n.login)
			n.says(room1, "hello", 500)
			n.says(room1, "#history", 500)
			n.says(room1, "#destroy", 500)
			n.says("sip:chat-2@127.0.0.1", "#destroy", 500)
			n.says("sip:chat-3@127.0.0.1", "#join", 500) // the ban stays
			s.census.Check(t.Context())
			c.says(room1, "#destroy", 200)
		})
	}
}

// TestMailboxOfRemovedAccount deletes the messages that wait for a removed account.
func TestMailboxOfRemovedAccount(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a := s.phone("tcp", "alice")
	if got := a.proven(asAlice, a.text(bob, "for the old bob")); status(got) != 202 {
		t.Fatalf("answered\n%s", got)
	}
	s.call("sub_remove", "bob")
	if n := s.stored(); n != 0 {
		t.Errorf("%d messages wait", n)
	}
	if _, err := s.tryCall("sub_remove", "bob"); err == nil || !strings.HasPrefix(err.Error(), "404") {
		t.Errorf("the second removal returned %v", err)
	}
}

// TestAccountsInDoubt checks that rooms stay if the table of accounts is empty, or was never the one
// of these users.
func TestAccountsInDoubt(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a := s.phone("udp", "alice")
	if got := a.message(room1, "#create"); got != 200 {
		t.Fatalf("#create is answered %d", got)
	}
	s = s.restart(withDigest)
	s.call("sub_add", "bob@127.0.0.1", "secret")
	s.census.Check(t.Context())
	if !s.rooms.HasUser(s.aor("alice")) {
		t.Fatal("a user who never had an account is not in the room any more")
	}
	s.call("sub_add", "alice@127.0.0.1", "secret")
	if !s.rooms.HasUser(s.aor("alice")) {
		t.Fatal("a user who gets an account is not in the room any more")
	}
	s.census.Check(t.Context())
	s.sql("DELETE FROM subscriber")
	s.census.Check(t.Context())
	if !s.rooms.HasUser(s.aor("alice")) {
		t.Fatal("the room did not survive an empty table")
	}
	if !strings.Contains(s.log.String(), "most accounts are gone") {
		t.Errorf("nothing is logged:\n%s", s.log)
	}
	s.sql(`INSERT INTO subscriber (username, domain, password) VALUES ('bob', '127.0.0.1', 'x')`)
	s.census.Check(t.Context())
	s = s.restart(withDigest)
	s.census.Check(t.Context())
	if !s.rooms.HasUser(s.aor("alice")) {
		t.Fatal("the room did not survive a table that fills again")
	}
	s.sql(`INSERT INTO subscriber (username, domain, password) VALUES ('alice', '127.0.0.1', 'x')`)
	s.census.Check(t.Context())
	s.sql(`DELETE FROM subscriber WHERE username = 'alice'`)
	s = s.restart(withDigest)
	s.census.Check(t.Context())
	if s.rooms.HasUser(s.aor("alice")) {
		t.Error("an account that was removed while silod was down is in its room")
	}
}

// TestRoomBeforeAccount: an operator makes a room for a user whose account is added later.
func TestRoomBeforeAccount(t *testing.T) {
	t.Parallel()
	s := serve(t, withDigest)
	s.resident("bob")
	s.census.Check(t.Context())
	s.call("imc_create_room", "chat-1", "carol")
	s.call("imc_add_member", "chat-1", "dave")
	s.census.Check(t.Context())
	c := s.resident("carol")
	s.census.Check(t.Context())
	c.says(room1, "#topic ours", 200)
	s.call("sub_add", "dave@127.0.0.1", "dave's password")
	if !s.rooms.HasUser(s.aor("dave")) {
		t.Error("dave is not a member any more")
	}
	s.census.Check(t.Context())
	s.sql(`DELETE FROM subscriber WHERE username = 'dave'`)
	s.census.Check(t.Context())
	if s.rooms.HasUser(s.aor("dave")) {
		t.Error("a member whose account is gone stays")
	}
}
