package main

import (
	"strings"
	"testing"
)

// TestSanctionsOfAliases checks that bans and mutes hold for a user with all its addresses, in
// whichever of them it is named, joins and speaks, and over a restart.
func TestSanctionsOfAliases(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t), withDigest)
	s.addUsers()
	s.sql(`CREATE TABLE dbaliases (id INTEGER PRIMARY KEY, alias_username VARCHAR(64), alias_domain VARCHAR(64), username VARCHAR(64), domain VARCHAR(64))`)
	s.sql(`INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES
		('sales', '127.0.0.1', 'bob', '127.0.0.1'), ('4917', '127.0.0.1', 'bob', '127.0.0.1')`)
	s = s.restart(withDigest)
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	say := func(from, text, reason string) {
		t.Helper()
		u, l := b, asBob
		if from == alice {
			u, l = a, asAlice
		}
		request := u.request("MESSAGE", room1, room1, text, "Content-Type: text/plain")
		request = strings.Replace(request, "From: <"+u.aor+">", "From: <"+from+">", 1)
		if got := u.proven(l, request); !strings.Contains(got, reason+"\r\n") {
			t.Fatalf("%s: %s: answered\n%s", from, text, got)
		}
	}
	const ok, sales, phone = " 200 OK", "sip:sales@127.0.0.1", "sip:4917@127.0.0.1"
	say(alice, "#create", ok)
	say(sales, "#join", ok)
	say(sales, "hello", ok)

	// The mute of an alias is one of the account and of all its aliases.
	say(alice, "#mute Sales for 2h loud", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "#join", ok)
		say(from, "hello", " 500 Muted")
	}
	for _, from := range []string{sales, bob, phone} {
		say(from, "#exit", ok)
	}
	s.settled()
	s = s.restart(withDigest)
	a, b = s.phone("tcp", "alice"), s.phone("tcp", "bob")
	for _, from := range []string{sales, bob, phone} {
		say(from, "#join", ok)
		say(from, "hello", " 500 Muted")
	}
	say(alice, "#unmute 4917", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "hello", ok)
	}

	// So is a ban.
	say(alice, "#ban bob", ok)
	if n := len(s.call("imc_list_members", room1).Nodes); n != 1 {
		t.Errorf("after the ban %d members are left", n)
	}
	for _, from := range []string{sales, bob, phone} {
		say(from, "hello", " 500 Banned from the room")
		say(from, "#join", " 500 Banned from the room")
	}
	say(alice, "#add sales", " 500 User is banned")

	// A private room does not exist for any of them.
	say(alice, "#private", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "#join", " 500 Room name not available")
		say(from, "#list", " 500 no such room")
	}
	say(alice, "#public", ok)
	s.call("imc_unban_member", room1, sales)
	for _, from := range []string{sales, bob, phone} {
		say(from, "#join", ok)
	}

	// A nickname stands for all addresses of its user.
	say(sales, "#nick Shop", ok)
	say(alice, "#mute shop", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "hello", " 500 Muted")
	}
	say(alice, "#unmute shop", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "hello", ok)
	}
	say(alice, "#ban Shop", ok)
	for _, from := range []string{sales, bob, phone} {
		say(from, "#join", " 500 Banned from the room")
	}
}

// TestSanctionsByOperator checks the management commands for bans, mutes, voice and moderated
// rooms, and that their results outlive a restart.
func TestSanctionsByOperator(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "jürgen")
	a.register(300)
	b.register(300)
	say := func(u *ua, text, reason string) {
		t.Helper()
		if first, _, _ := strings.Cut(u.inRoom(room1, "", text), "\r\n"); !strings.HasSuffix(first, reason) {
			t.Fatalf("%s: %s: answered %s", u.aor, text, first)
		}
	}
	say(a, "#create", "200 OK")
	say(b, "#join", "200 OK")
	s.call("imc_mute_member", "chat-1", "J%C3%BCrgen", "2h", "loud\r\nvery")
	say(b, "hello", "500 Muted")
	s.call("imc_remove_member", "chat-1", "jürgen")
	s = s.restart()
	b = s.phone("tcp", "j%c3%bcrgen")
	s.call("imc_add_member", "chat-1", "jürgen")
	say(b, "hello", "500 Muted")
	n := s.call("imc_show_room", "chat-1").Nodes[0].Nodes[1]
	if nodeAttr(n, "muted") != "true" || nodeAttr(n, "reason") != "loud  very" || nodeAttr(n, "muted_until") == "" {
		t.Errorf("jürgen is shown as %v", n)
	}
	s.call("imc_unmute_member", "chat-1", "jürgen")
	s.call("imc_moderate_room", "chat-1")
	say(b, "hello", "500 Room is moderated")
	s.call("imc_voice_member", "chat-1", "jürgen")
	s = s.restart()
	b = s.phone("tcp", "jürgen")
	say(b, "hello", "200 OK")
	s.call("imc_ban_member", "chat-1", "jürgen", "0", "spam")
	say(b, "#join", "500 Banned from the room")
	list := s.call("imc_list_bans", "chat-1").Nodes
	if len(list) != 1 || nodeAttr(list[0], "sanction") != "ban" || nodeAttr(list[0], "reason") != "spam" || nodeAttr(list[0], "until") != "" {
		t.Errorf("the bans are %v", list)
	}
}
