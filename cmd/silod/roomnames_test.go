package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"silod/mi"
)

// inRoom sends a text to a room and returns the answer; to is the To, "" for the Request-URI.
func (u *ua) inRoom(uri, to, text string) string {
	u.t.Helper()
	if to == "" {
		to = uri
	}
	return u.ask(u.request("MESSAGE", uri, to, text, "Content-Type: text/plain"))
}

// reads checks that the next messages have these bodies; "..." at the end matches any text.
func (u *ua) reads(want ...string) {
	u.t.Helper()
	for _, w := range want {
		m := u.next()
		head, open := strings.CutSuffix(w, "...")
		if got := body(m); got != w && (!open || !strings.HasPrefix(got, head)) {
			u.t.Fatalf("%s got %q, want %q", u.aor, got, w)
		}
	}
}

// TestRoomNames checks that a user has one name in rooms, whatever the spelling, on the wire
// and over a restart.
func TestRoomNames(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	a, j, d := s.phone("tcp", "alice"), s.phone("tcp", "jürgen"), s.phone("udp", "9901#1")
	for _, u := range []*ua{a, j, d} {
		u.register(300)
	}
	say := func(u *ua, room, text string, want int) {
		t.Helper()
		if got := u.inRoom(room, "", text); status(got) != want {
			t.Fatalf("%s, %s: answered\n%s", room, text, got)
		}
	}
	say(a, room1, "#create", 200)
	a.reads("You have created chat-1 and own it...")
	say(a, room1, "#invite J%c3%bcrgen", 200)
	a.reads("jürgen has been invited to chat-1.")
	invitation := j.next()
	if got := header(invitation, "To"); got != "<sip:j%C3%BCrgen@127.0.0.1>" {
		t.Errorf("To is %s", got)
	}
	say(j, "sip:CHAT%2D1@127.0.0.1", "#accept", 200)
	say(a, "sip:chat-1@127.0.0.1:5060", "#add 9901#1", 200)
	for _, u := range []*ua{a, j} {
		u.reads("jürgen has joined chat-1.", "9901#1 has joined chat-1.")
	}
	if m := d.next(); body(m) != "9901#1 has joined chat-1." || header(m, "To") != "<sip:9901%231@127.0.0.1>" {
		t.Errorf("9901#1 got\n%s", m)
	}
	say(a, room1, "#add <sip:9901%231@127.0.0.1>", 200)
	a.reads("9901#1 is already in chat-1.")

	s.settled()
	s = s.restart()
	a, j, d = s.phone("tcp", "alice"), s.phone("tcp", "j%C3%BCrgen"), s.phone("udp", "9901%231")
	for _, u := range []*ua{a, j, d} {
		u.register(300)
	}
	say(j, room1, "hello", 200)
	a.reads("[jürgen]: hello")
	d.reads("[jürgen]: hello")
	say(a, room1, "#list", 200)
	a.reads("Members of chat-1: 3\n*alice\njürgen\n9901#1")
	say(a, room1, "#history 1", 200)
	a.reads("Messages in chat-1: 1\n...")

	// The same users for administrators.
	if n := s.call("imc_room_member", "CHAT-1", "Jürgen"); nodeAttr(n, "member") != "true" {
		t.Errorf("jürgen is no member: %v", n)
	}
	s.call("imc_modify_member", room1, "sip:9901#1@127.0.0.1", "admin")
	a.reads("9901#1 is now admin of chat-1.")
}

// TestRoomNameForgery checks that no name can be read as another speaker or break a line.
func TestRoomNameForgery(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a := s.phone("tcp", "alice")
	a.register(300)
	a.inRoom(room1, "", "#create")
	a.reads("You have created chat-1 and own it...")
	for _, user := range []string{"%0d%0a[bob]", "%0A", "x%00", "%7f", "%C2%85bob", "bob%E2%80%A8[carol]", "%20%20"} {
		m := s.phone("tcp", user)
		if got := m.inRoom(room1, "", "#join"); status(got) != 500 || !strings.Contains(got, "Bad user address") {
			t.Errorf("%s: answered\n%s", user, got)
		}
	}
	for user, shown := range map[string]string{
		"alice%E2%80%8B":              "alice%E2%80%8B",
		"%E2%80%AEecila":              "%E2%80%AEecila",
		"x]%3A no [bob":               "x%5D%3A%20no%20%5Bbob",
		"bob%20has%20left.%20mallory": "bob%20has%20left.%20mallory",
		"alice%40127.0.0.1":           "alice%40127.0.0.1",
		"*mallory":                    "%2Amallory",
		"%FF%E3%85%A4%F0%9F%98%80":    "%FF%E3%85%A4😀",
	} {
		m := s.phone("tcp", strings.ReplaceAll(user, " ", "%20"))
		if got := m.inRoom(room1, "", "#join"); status(got) != 200 {
			t.Errorf("%s: answered\n%s", user, got)
			continue
		}
		a.reads(shown + " has joined chat-1.")
		m.inRoom(room1, "", "hello")
		a.reads("[" + shown + "]: hello")
		a.inRoom(room1, "", "#remove "+shown)
		a.reads(shown + " has been removed from chat-1 by alice.")
	}
}

// TestManagerForARoom checks that a message to the manager whose To names a room is for that
// room, and that a room in the command takes precedence.
func TestManagerForARoom(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("tcp", "alice"), s.phone("tcp", "bob")
	a.register(300)
	b.register(300)
	const manager = "sip:chat-manager@127.0.0.1"
	say := func(u *ua, to, text, reason string) {
		t.Helper()
		got := u.inRoom(manager, to, text)
		if first, _, _ := strings.Cut(got, "\r\n"); !strings.HasSuffix(first, reason) {
			t.Fatalf("To %s, %s: answered\n%s", to, text, got)
		}
	}
	say(a, room1, "#create", "200 OK")
	if m := a.next(); header(m, "From") == "" || !strings.HasPrefix(header(m, "From"), "<"+room1+">") {
		t.Errorf("alice got\n%s", m)
	}
	say(b, "sip:CHAT%2D1@127.0.0.1:5060;user=phone", "#join", "200 OK")
	a.reads("bob has joined chat-1.")
	b.reads("bob has joined chat-1.")
	say(b, room1, "hello", "200 OK")
	a.reads("[bob]: hello")
	say(a, room1, "#list", "200 OK")
	a.reads("Members of chat-1: 2\n*alice\nbob")
	say(a, room1, "#create chat-2", "200 OK")
	a.reads("You have created chat-2 and own it...")
	say(a, room1, "#list chat-2", "200 OK")
	a.reads("Members of chat-2: 1\n*alice")
	say(a, manager, "#list", "500 No room named")
	a.reads("The room is missing. Usage: #list ROOM")
	say(a, bob, "#list", "500 No room named")
	a.reads("The room is missing. Usage: #list ROOM")
	say(a, "sip:chat-1@elsewhere.example", "hello", "500 Not a room")
	a.reads("This address accepts only commands. #help lists them.")
	b.nothing()
}

// TestRoomArguments checks that management commands refuse what names no room or no user, and
// say which argument it is, and that nothing of it is there, now or after a restart.
func TestRoomArguments(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	s.call("imc_create_room", "chat-1", "alice")
	s.call("imc_add_member", "chat-1", "bob")
	refuse := func(prefix, command string, args ...string) {
		t.Helper()
		_, err := s.tryCall(command, args...)
		e, refused := errors.AsType[*mi.Error](err)
		if !refused || e.Code != 400 || !strings.HasPrefix(e.Text, prefix) {
			t.Errorf("%s %q: %v, want 400 %s", command, args, err, prefix)
		}
	}
	roles := map[string][]string{"imc_modify_member": {"admin"}}
	for _, bad := range []string{"", " ", "\t", "@", "sip:", "sip:@", "sip:127.0.0.1", "@127.0.0.1", "sip:@127.0.0.1", "bob@", "<>", "<sip:>", "tel:+49", "a\nb", "\x00"} {
		for _, command := range []string{
			"imc_list_members", "imc_show_room", "imc_room_active", "imc_history", "imc_destroy_room",
		} {
			refuse("ROOM is ", command, bad)
		}
		for _, command := range []string{"imc_room_member", "imc_add_member", "imc_remove_member", "imc_modify_member"} {
			refuse("ROOM is ", command, append([]string{bad, "bob"}, roles[command]...)...)
			refuse("USER is ", command, append([]string{"chat-1", bad}, roles[command]...)...)
		}
		refuse("USER is ", "imc_modify_member", "chat-1", bad, "banned")
		refuse("ROOM is ", "imc_create_room", bad, "bob")
		refuse("OWNER is ", "imc_create_room", "chat-2", bad)
	}
	for _, command := range []string{"imc_list_members", "imc_show_room", "imc_room_active", "imc_history", "imc_destroy_room"} {
		refuse("ROOM is wrong: chat-1@elsewhere.example is not in a domain of this server", command, "chat-1@elsewhere.example")
	}
	for _, bad := range []string{"bob%00", "%0d%0ab", "%20", "%C2%85"} {
		refuse("", "imc_add_member", "chat-1", bad)
		refuse("", "imc_modify_member", "chat-1", bad, "banned")
		refuse("", "imc_create_room", "chat-2", bad)
		refuse("", "imc_create_room", "chat-2"+bad, "bob")
	}
	refuse("", "imc_create_room", "chat-2", strings.Repeat("u", 65))
	refuse("", "imc_create_room", "chat-"+strings.Repeat("2", 60), "bob")
	want := "[{user sip:alice@127.0.0.1} {role owner}][{user sip:bob@127.0.0.1} {role member}]"
	for range 2 {
		if n := s.call("imc_list_rooms").Nodes; len(n) != 1 {
			t.Errorf("there are %d rooms", len(n))
		}
		got := ""
		for _, m := range s.call("imc_list_members", "chat-1").Nodes {
			got += fmt.Sprint(m.Attrs[:2])
		}
		if got != want {
			t.Errorf("chat-1 has %s", got)
		}
		s = s.restart()
	}
}

// TestRoomRowsNotReadable checks that rows that cannot be read are passed over, each with a
// line in the log, and neither stop the daemon nor take a room away.
func TestRoomRowsNotReadable(t *testing.T) {
	t.Parallel()
	s := serveIn(t, t.TempDir(), fixedPort(t))
	s.call("imc_create_room", "chat-1", "alice")
	s.call("imc_create_room", "chat-2", "bob")
	s.stop()
	for _, statement := range []string{
		`INSERT INTO imc_members (username, domain, room, flag) VALUES ('', '127.0.0.1', 'sip:chat-1@127.0.0.1', 0), ('', '', 'sip:chat-2@127.0.0.1', 1),
			('carol', '127.0.0.1', 'sip:chat-1@127.0.0.1', 64), ('carol', '127.0.0.1', 'sip:chat-3@127.0.0.1', 0), ('dave', '127.0.0.1', '%%', 0),
			('erin', '127.0.0.1', 'sip:chat-1@127.0.0.1', 0)`,
		`INSERT INTO imc_rooms (name, domain, flag) VALUES ('', '127.0.0.1', 0), ('', '', 0), ('chat 4', 'a b', 0)`,
		`INSERT INTO silod_member (room, username, domain, muted, paused, banned, invited_user, invited_domain) VALUES ('sip:chat-1@127.0.0.1', '', '', 0, 0, 1, '', '')`,
	} {
		s.sql(statement)
	}
	s = s.restart()
	for room, want := range map[string]string{"chat-1": "alice erin", "chat-2": "bob"} {
		var got []string
		for _, m := range s.call("imc_list_members", room).Nodes {
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(nodeAttr(m, "user"), "sip:"), "@127.0.0.1"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s has %s, want %s", room, got, want)
		}
	}
	for _, want := range []string{"no user name", "unknown flag 64 of carol", "no such room: sip:chat-3@127.0.0.1", "row of imc_rooms"} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not have %q", want)
		}
	}
}

// TestRoomCreators checks who may create rooms. Administrators always may.
func TestRoomCreators(t *testing.T) {
	t.Parallel()
	base := []string{
		"sip.listen = ['tcp:127.0.0.1:0']", withDigest, "auth.strangers = 'all'", "auth.trusted = ['127.0.0.7']", "imc.creators = ['local']",
	}
	s := serveFile(t, t.TempDir(), base...)
	s.addUsers()
	a, gateway := s.phone("tcp", "alice"), s.phoneFrom("tcp", "127.0.0.7", "gateway")
	b, stranger := s.phone("tcp", "bob"), s.phoneFrom("tcp", "127.0.0.9", "x")
	stranger.aor, gateway.aor = "sip:x@elsewhere.example", "sip:y@elsewhere.example"
	n := 0
	type senders map[string]bool
	check := func(creators string, want senders) {
		t.Helper()
		if creators != "" {
			s.reloadWith(merged(base, []string{"imc.creators = [" + creators + "]"})...)
		}
		for name, u := range map[string]*ua{"alice": a, "bob": b, "gateway": gateway, "stranger": stranger} {
			for _, text := range []string{"#create", "#join"} {
				n++
				room := fmt.Sprintf("sip:chat-%d@127.0.0.1", n)
				request := u.request("MESSAGE", room, room, text, "Content-Type: text/plain")
				got := u.proven(map[string]login{"alice": asAlice, "bob": asBob}[name], request)
				if first, _, _ := strings.Cut(got, "\r\n"); want[name] != (status(got) == 200) || !want[name] && !strings.HasSuffix(first, "500 Not allowed to create rooms") {
					t.Errorf("creators %s, %s %s: answered\n%s", creators, name, text, got)
				}
			}
		}
		n++
		s.call("imc_create_room", fmt.Sprint("chat-", n), "x@elsewhere.example")
	}
	check("", senders{"alice": true, "bob": true})
	check("'all'", senders{"alice": true, "bob": true, "gateway": true, "stranger": true})
	check("'authenticated'", senders{"alice": true, "bob": true, "gateway": true})
	check("'sip:ALICE@127.0.0.1', '@elsewhere.example'", senders{"alice": true, "gateway": true})
	check("'nobody'", nil)
	check("", nil)

	// Whoever may not create rooms may join them.
	s.call("imc_create_room", "chat-1000", "alice")
	if got := stranger.inRoom("sip:chat-1000@127.0.0.1", "", "#join"); status(got) != 200 {
		t.Errorf("#join is answered\n%s", got)
	}
	s.write(merged(base, []string{"imc.creators = ['someone']"})...)
	if _, err := s.tryCall("reload"); err == nil || !strings.Contains(err.Error(), "imc.creators") {
		t.Errorf("reload: %v", err)
	}
}
