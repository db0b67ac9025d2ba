package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestRoomRefuses checks that the SIP response of a room has the reason, the code of imc's
// function and, for a limit, Retry-After.
func TestRoomRefuses(t *testing.T) {
	t.Parallel()
	s := serve(t, "imc.message_rate = 2")
	a := s.phone("udp", "alice")
	a.register(300)
	for _, step := range []struct {
		text, reason, code string
		status             int
		retry              bool
	}{
		{text: "hello", status: 500, reason: "no such room", code: "-200"},
		{text: "#exti", status: 500, reason: "Unknown command", code: "-130"},
		{text: "#remove bob chat-2", status: 500, reason: "Too many messages", code: "-200", retry: true},
	} {
		answer := a.ask(a.request("MESSAGE", room1, room1, step.text, "Content-Type: text/plain"))
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

const room1 = "sip:chat-1@127.0.0.1"

// TestRoomsOwnDatabase sets imc.db_url, rooms_table and members_table.
func TestRoomsOwnDatabase(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rooms.db")
	s := serveIn(t, t.TempDir(), fixedPort(t), "imc.db_url = 'sqlite:"+file+"'", "imc.rooms_table = 'my_rooms'", "imc.members_table = 'my_members'")
	a := s.phone("udp", "alice")
	if got := a.message(room1, "#create"); got != 200 {
		t.Fatalf("#create is answered %d", got)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var name, user string
	err = db.QueryRow("SELECT name, username FROM my_rooms, my_members WHERE room = 'sip:' || name || '@' || my_rooms.domain").Scan(&name, &user)
	if err != nil || name != "chat-1" || user != "alice" {
		t.Errorf("the tables have %q and %q, %v", name, user, err)
	}
	if n := len(s.restart("imc.db_url = 'sqlite:"+file+"'", "imc.rooms_table = 'my_rooms'", "imc.members_table = 'my_members'").
		call("imc_list_rooms").Nodes); n != 1 {
		t.Errorf("after a restart there are %d rooms", n)
	}
}

// TestRoomsByProxy checks that with imc.outbound_proxy all messages of rooms are sent to
// the proxy, with the member's address and imc.extra_hdrs, whether or not the member is
// registered. Other messages are not sent to the proxy.
func TestRoomsByProxy(t *testing.T) {
	t.Parallel()
	proxy := listen(t, "127.0.0.1")
	s := serve(t, "imc.outbound_proxy = 'sip:"+proxy.addr()+"'", `imc.extra_hdrs = "Supported: kamailio/imc\r\n"`)
	a, b := s.phone("udp", "alice"), s.phone("udp", "bob")
	b.register(300)
	for _, step := range []struct {
		by   *ua
		text string
	}{{a, "#create"}, {b, "#join"}, {a, "hello"}} {
		if got := step.by.message(room1, step.text); got != 200 {
			t.Fatalf("%q is answered %d", step.text, got)
		}
	}
	for {
		m := proxy.next()
		if !strings.Contains(body(m), "hello") {
			continue
		}
		if !strings.HasPrefix(m, "MESSAGE "+bob+" SIP/2.0\r\n") || header(m, "Supported") != "kamailio/imc" || header(m, "Contact") != "" {
			t.Errorf("the proxy gets\n%s", m)
		}
		break
	}
	b.nothing()
	if got := a.message(bob, "directly"); got != 200 || body(b.next()) != "directly" {
		t.Errorf("a message between users is answered %d", got)
	}
}

// TestRoomManager checks that imc.manager accepts commands with the name of a room.
func TestRoomManager(t *testing.T) {
	t.Parallel()
	s := serve(t, "imc.manager = 'porter'", "imc.room_pattern = '^[a-z]+-room$'")
	a := s.phone("udp", "alice")
	const porter = "sip:porter@127.0.0.1"
	for text, want := range map[string]int{"#create tea-room": 200, "#create": 500, "hello": 500, "#create chat-1": 500} {
		if got := a.message(porter, text); got != want {
			t.Errorf("%q is answered %d, want %d", text, got, want)
		}
	}
	if got := a.message("sip:tea-room@127.0.0.1", "hello"); got != 200 {
		t.Errorf("the room answers %d", got)
	}
	if got := a.message(room1, "hello"); got != 202 { // not a room by room_pattern: a user who is offline
		t.Errorf("chat-1 answers %d", got)
	}
}

// TestInputThatCrashesIMC checks that input that crashes Kamailio's imc module, or corrupts
// its memory, is answered, and that the room works afterwards.
func TestInputThatCrashesIMC(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.phone("tcp", "alice"), s.phone("udp", "bob")
	b.register(300)
	if got := a.message(room1, "#create"); got != 200 {
		t.Fatalf("#create is answered %d", got)
	}
	huge := strings.Repeat("x", 50_000)
	for _, text := range []string{
		"#invite", "#remove", "#add", "#modify", "#ban", "#mute", "#history x", "#", "# ", "#\x00", "#invite \x00",
		"#modify stranger admin", "#remove stranger", "#modify bob owner", "#remove alice", "#unban stranger",
		"#create " + huge, "#join " + huge, "#invite " + huge, "#invite bob " + huge, "#join sip:", "#join <sip:", "#join sip:@", "#join %",
		"#invite <>", "#invite sip:sip:sip:", "#accept chat-2", "#deny chat-2", "#destroy chat-2", "#exit chat-2", "#list chat-2",
	} {
		if got := a.message(room1, text); got != 500 {
			t.Errorf("%.40q is answered %d", text, got)
		}
	}
	for _, text := range []string{"##", "#" + huge} { // no commands: they are said
		if got := a.message(room1, text); got != 200 {
			t.Errorf("%.40q is answered %d", text, got)
		}
	}
	for i := range 80 {
		if got := a.message(room1, fmt.Sprintf("#add somebody-with-a-long-name-%d", i)); got != 200 {
			t.Fatalf("#add is answered %d", got)
		}
	}
	if got := b.message(room1, "#join"); got != 200 {
		t.Fatalf("#join is answered %d", got)
	}
	b.next() // bob has joined
	if got := b.message(room1, "#list"); got != 200 {
		t.Fatalf("#list is answered %d", got)
	}
	var list []string
	for len(list) < 83 { // "Members of", alice, the 80, bob
		m := b.next()
		if len(m) > 1500 {
			t.Errorf("a part of the list has %d bytes", len(m))
		}
		list = append(list, strings.Split(body(m), "\n")...)
	}
	if list[1] != "*alice" || list[len(list)-1] != "bob" {
		t.Errorf("the list is %q", list)
	}
}
