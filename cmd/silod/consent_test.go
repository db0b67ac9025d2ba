package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// said sends a text to a room with a password and returns the status line of the answer.
func (u *ua) said(l login, room, text string) string {
	u.t.Helper()
	answer := u.proven(l, u.request("MESSAGE", room, room, text, "Content-Type: text/plain"))
	first, _, _ := strings.Cut(answer, "\r\n")
	return strings.TrimPrefix(first, "SIP/2.0 ")
}

// bodies returns the texts of the messages that have arrived, after a silence.
func (u *ua) bodies() []string {
	u.t.Helper()
	var list []string
	for {
		select {
		case m := <-u.requests:
			list = append(list, body(m))
		default:
			return list
		}
	}
}

// TestNoRelayThroughRooms checks that a user cannot have a room send to an address to which
// auth.relay does not let the user send, in any spelling and by any command.
func TestNoRelayThroughRooms(t *testing.T) {
	t.Parallel()
	for relay, want := range map[string]string{"nobody": "500 No messages to that domain", "authenticated": "200 OK"} {
		t.Run(relay, func(t *testing.T) {
			t.Parallel()
			s := serveUsers(t, "auth.relay = '"+relay+"'")
			a, f := s.phone("tcp", "alice"), listen(t, "127.0.0.3")
			if got := a.said(asAlice, room1, "#create"); got != "200 OK" {
				t.Fatalf("#create is answered %s", got)
			}
			_, port, _ := strings.Cut(f.addr(), ":")
			for i, command := range []string{
				"#invite sip:a%d@" + f.addr(), "#add b%d@" + f.addr(), "#add sip:c%d@" + f.addr() + ";transport=udp",
				"#invite sips:d%d@" + f.addr(), "#add sip:e%d@elsewhere.example;maddr=127.0.0.3", "#add <sip:f%d@127.0.0.3:" + port + ">",
			} {
				if got := a.said(asAlice, room1, fmt.Sprintf(command, i)); got != want {
					t.Errorf("%s is answered %s, want %s", command, got, want)
				}
			}
			if got := a.said(asAlice, room1, "a word"); got != "200 OK" {
				t.Errorf("a word is answered %s", got)
			}
			if relay == "nobody" {
				f.nothing()
				return
			}
			s.eventually("a word for the members", func() bool { return slices.Contains(f.bodies(), "[alice]: a word") })
		})
	}
}

// TestForgedSendersGetNothing checks that rooms send nothing to the address of a sender of another
// domain that has not been identified: the address may be forged.
func TestForgedSendersGetNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"none", "digest"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := serve(t, "auth.mode = '"+mode+"'")
			s.call("imc_create_room", "chat-1", alice)
			x, f := s.phone("udp", "x"), listen(t, "127.0.0.3")
			x.aor = "sip:victim@" + f.addr()
			for _, text := range []string{"hello", "#join", "#create chat-2", "#help", "#rooms", "#frobnicate", "#block bob", "#accept"} {
				if got := x.inRoom(room1, "", text); status(got) != 403 {
					t.Errorf("%s is answered\n%s", text, got)
				}
			}
			f.nothing()
		})
	}
}

// TestMemberOfAnotherDomain checks that a member of another domain that an administrator has added
// can speak, but not join other rooms.
func TestMemberOfAnotherDomain(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.call("imc_create_room", "chat-1", alice)
	x, f := s.phone("udp", "x"), listen(t, "127.0.0.3")
	x.aor = "sip:zoe@" + f.addr()
	s.call("imc_add_member", "chat-1", x.aor)
	if m := f.next(); !strings.HasSuffix(body(m), "has joined chat-1.") {
		t.Errorf("the member gets\n%s", m)
	}
	for text, want := range map[string]int{"hello": 200, "#create chat-3": 500, "#join chat-3": 500, "#list": 200} {
		if got := x.inRoom(room1, "", text); status(got) != want {
			t.Errorf("%s is answered %d, want %d", text, status(got), want)
		}
	}
}

// TestRelayEndsWithThePolicy checks that members of other domains get words only while auth.relay
// allows that, and the user that has added them exists.
func TestRelayEndsWithThePolicy(t *testing.T) {
	t.Parallel()
	base := []string{"sip.listen = ['tcp:127.0.0.1:0', 'udp:127.0.0.1:0']", withDigest, "auth.relay = 'authenticated'"}
	s := serveFile(t, t.TempDir(), base...)
	s.addUsers()
	a, b, f := s.phone("tcp", "alice"), s.phone("tcp", "bob"), listen(t, "127.0.0.3")
	for _, step := range []struct {
		by    *ua
		login login
		text  string
	}{{a, asAlice, "#create"}, {b, asBob, "#join"}, {a, asAlice, "#modify bob admin"}, {b, asBob, "#add v@" + f.addr()}, {a, asAlice, "one"}} {
		if got := step.by.said(step.login, room1, step.text); got != "200 OK" {
			t.Fatalf("%s is answered %s", step.text, got)
		}
	}
	var got []string
	s.eventually("a word", func() bool { got = append(got, f.bodies()...); return slices.Contains(got, "[alice]: one") })

	s.reloadWith(merged(base, []string{"auth.relay = 'nobody'"})...)
	a.said(asAlice, room1, "two")
	f.nothing()

	s.reloadWith(base...)
	a.said(asAlice, room1, "three")
	got = nil
	s.eventually("the words", func() bool { got = append(got, f.bodies()...); return slices.Contains(got, "[alice]: three") })

	s.call("sub_remove", bob)
	a.said(asAlice, room1, "four")
	f.nothing()
}

// TestUnknownUsersInRooms checks that users can neither invite nor add a name that is not a user.
// Administrators can.
func TestUnknownUsersInRooms(t *testing.T) {
	t.Parallel()
	s := serveUsers(t)
	a := s.phone("tcp", "alice")
	for text, want := range map[string]string{
		"#create": "200 OK",
	} {
		if got := a.said(asAlice, room1, text); got != want {
			t.Fatalf("%s is answered %s", text, got)
		}
	}
	for text, want := range map[string]string{
		"#invite ghost": "500 No such user", "#add ghost": "500 No such user", "#modify ghost owner": "500 No such member",
		"#invite bob": "200 OK", "#add BOB@127.0.0.1": "200 OK",
	} {
		if got := a.said(asAlice, room1, text); got != want {
			t.Errorf("%s is answered %s, want %s", text, got, want)
		}
	}
	s.call("imc_add_member", "chat-1", "ghost@127.0.0.1")
	if n := len(s.call("imc_list_members", "chat-1").Nodes); n != 3 {
		t.Errorf("%d members, want 3", n)
	}
}

// TestInvitationsAreFew checks that a user gets one invitation to a room, however often it is
// invited, and none at once after it has declined.
func TestInvitationsAreFew(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	a.message(room1, "#create")
	for range 50 {
		if got := a.message(room1, "#invite bob"); got != 200 {
			t.Fatalf("#invite is answered %d", got)
		}
	}
	b.reads("alice invites you...")
	b.nothing()
	if got := b.message(room1, "#deny"); got != 200 {
		t.Errorf("#deny is answered %d", got)
	}
	b.reads("You have declined...")
	for range 10 {
		if got := a.message(room1, "#invite bob"); got != 500 {
			t.Errorf("#invite is answered %d after #deny", got)
		}
	}
	for i := range 20 { // one user adds and removes bob, and invites bob to other rooms
		a.message(room1, "#add bob")
		a.message(room1, "#remove bob")
		room := fmt.Sprintf("sip:chat-%d@127.0.0.1", 100+i)
		a.message(room, "#create")
		a.message(room, "#invite bob")
	}
	n := 0
	for len(b.requests) > 0 || n == 0 {
		b.next()
		n++
	}
	b.nothing()
	if n > 15 {
		t.Errorf("bob gets %d messages", n)
	}
}

// TestBlocks checks #block, #unblock and #blocks, over a restart and a new room of the name.
func TestBlocks(t *testing.T) {
	t.Parallel()
	s := serve(t)
	const manager = "sip:chat-manager@127.0.0.1"
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	do := func(u *ua, to, text string, want int) {
		t.Helper()
		if got := u.message(to, text); got != want {
			t.Errorf("%s is answered %d, want %d", text, got, want)
		}
	}
	do(a, room1, "#create", 200)
	do(b, room1, "#join", 200)
	b.reads("bob has joined chat-1.")
	do(b, manager, "#block chat-1", 200)
	b.reads("You have left chat-1.", "You get no invitations to chat-1 any more...")
	do(b, manager, "#block mallory", 200)
	b.reads("mallory can no longer invite or add you...")
	do(a, room1, "#add bob", 500)
	do(a, room1, "#destroy", 200)
	s = s.restart()
	a, b = s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	m := s.phone("udp", "mallory")
	do(a, room1, "#create", 200)
	do(a, room1, "#invite bob", 500)
	do(a, room1, "#add bob", 500)
	do(m, "sip:chat-2@127.0.0.1", "#create", 200)
	do(m, "sip:chat-2@127.0.0.1", "#invite bob", 500)
	do(b, room1, "#join", 500)
	b.reads("You have blocked chat-1...")
	do(b, room1, "#blocks", 200)
	b.reads("You block: 2\nchat-1\nmallory")
	do(b, room1, "#unblock", 200)
	b.reads("chat-1 is no longer blocked.")
	do(b, room1, "#unblock", 500)
	b.reads("You do not block chat-1...")
	do(b, room1, "#join", 200)
	b.reads("bob has joined chat-1.")

	// Without a block, a user that has left can be invited but not added.
	do(b, room1, "#exit", 200)
	b.reads("You have left chat-1.")
	do(a, room1, "#add bob", 500)
	do(a, room1, "#invite bob", 200)
	b.reads("alice invites you...")
	do(b, room1, "#accept", 200)
	b.reads("bob has joined chat-1.")
}

// TestRoomsOfOneUser checks that one user cannot use up imc.max_rooms, by giving rooms away or by
// destroying them while members have messages to get, and that a victim keeps its own limit.
func TestRoomsOfOneUser(t *testing.T) {
	t.Parallel()
	s := serve(t, "imc.max_rooms = 30", "imc.max_rooms_per_user = 5")
	m, g, b := s.phone("tcp", "mallory"), s.phone("tcp", "ghost"), s.phone("tcp", "bob")
	room := func(i int) string { return fmt.Sprintf("sip:chat-%d@127.0.0.1", i) }
	given := 0
	for i := range 40 {
		if m.message(room(i), "#create") != 200 {
			continue
		}
		m.message(room(i), "#add ghost")
		if got := m.message(room(i), "#modify ghost owner"); got != 500 {
			t.Fatalf("a member that was added becomes owner: %d", got)
		}
		g.message(room(i), "#accept")
		m.message(room(i), "#modify ghost owner")
		if m.message(room(i), "#exit") == 200 {
			given++
		}
	}
	if got := b.message(room(100), "#create"); got != 200 {
		t.Fatalf("after %d rooms were given away, #create is answered %d", given, got)
	}
	for i := range 100 {
		if m.message(room(200+i), "#create") != 200 {
			continue
		}
		m.message(room(200+i), "#add bob")
		m.message(room(200+i), "#destroy")
	}
	for i := range 4 {
		if got := b.message(room(101+i), "#create"); got != 200 {
			t.Errorf("room %d of bob: #create is answered %d", i, got)
		}
	}
}
