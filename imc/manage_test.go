package imc_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/imc"
	"silod/mi"
)

// managed runs f with two rooms and a Registry of the management commands.
func managed(t *testing.T, f func(t *testing.T, w *world, r *mi.Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, newMemStore(), nil)
		defer func() { w.stop() }()
		r := mi.NewRegistry(slog.New(slog.DiscardHandler))
		r.Add(w.rooms.Commands()...)
		r.Counters("imc", w.rooms.Counters()...)
		w.must("alice", "chat-1", "#create")
		w.must("bob", "chat-1", "#join")
		w.must("carol", "chat-1", "#join")
		w.must("alice", "chat-1", "#invite dave")
		w.must("bob", "chat-2", "#create private")
		w.must("bob", "chat-2", "#ban troll")
		w.ignore()
		f(t, w, r)
	})
}

func call(t *testing.T, r *mi.Registry, d mi.Dialect, command string, args ...string) (*mi.Node, error) {
	req := &mi.Request{Command: command, Dialect: d, Peer: "test"}
	for _, a := range args {
		req.Args = append(req.Args, mi.Arg{Value: a})
	}
	return r.Call(t.Context(), req)
}

// classic runs a command as kamctl does and returns the bytes of the reply.
func classic(t *testing.T, r *mi.Registry, command string, args ...string) string {
	t.Helper()
	f := &mi.Frame{Request: mi.Request{Command: command, Dialect: mi.Classic, Peer: "test"}}
	for _, a := range args {
		f.Args = append(f.Args, mi.Arg{Value: a})
	}
	var b strings.Builder
	if err := (&mi.Service{Registry: r, Transport: mi.Pipe}).Serve(t.Context(), f, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// rpc runs a command and returns its result as JSON, or its error.
func rpc(t *testing.T, r *mi.Registry, d mi.Dialect, command string, args ...string) string {
	t.Helper()
	n, err := call(t, r, d, command, args...)
	if e, refused := errors.AsType[*mi.Error](err); refused {
		return fmt.Sprintf("%d %s", e.Code, e.Text)
	} else if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestListsForExistingClients checks the replies of the two commands that existing
// clients use, byte for byte.
func TestListsForExistingClients(t *testing.T) {
	managed(t, func(t *testing.T, w *world, r *mi.Registry) {
		for _, c := range []struct {
			words string
			want  string
		}{
			{"imc_list_rooms", "200 OK\nROOM::  URI=sip:chat-1@example.test MEMBERS=3 OWNER=sip:alice@example.test\n" +
				"ROOM::  URI=sip:chat-2@example.test MEMBERS=1 OWNER=sip:bob@example.test\n\n"},
			{"imc_list_members sip:chat-1@example.test", "200 OK\nROOM:: sip:chat-1@example.test NR_OF_MEMBERS=3\n" +
				"\tMEMBER:: sip:alice@example.test\n\tMEMBER:: sip:carol@example.test\n\tMEMBER:: sip:bob@example.test\n\n"},
			// The room is shown as it was named in the request.
			{"imc_list_members SIPS:CHAT-2@Example.Test:5060;x=y", "200 OK\nROOM:: SIPS:CHAT-2@Example.Test:5060;x=y NR_OF_MEMBERS=1\n" +
				"\tMEMBER:: sip:bob@example.test\n\n"},
			{"imc_list_members sip:chat-9@example.test", "404 no such room\n\n"},
			{"imc_list_members sip:chat-1@far.test", "404 no such room\n\n"},
			{"imc_list_members tel:12345", "404 no such room\n\n"},
			{"imc_list_members .", "400 empty param\n\n"},
			{"imc_list_members", "400 Too few or too many arguments\n\n"},
			{"imc_list_members a b", "400 Too few or too many arguments\n\n"},
		} {
			words := strings.Fields(c.words)
			if got := classic(t, r, words[0], words[1:]...); got != c.want {
				t.Errorf("%s\n got %q\nwant %q", c.words, got, c.want)
			}
		}
		if got := classic(t, r, "imc_list_members", ""); got != "404 room name not found\n\n" {
			t.Errorf("empty room: %q", got)
		}
		for _, c := range []struct {
			d     mi.Dialect
			words string
			want  string
		}{
			{mi.Kamailio, "imc.list_rooms", `[{"room":"sip:chat-1@example.test","members":3,"owner":"sip:alice@example.test"},` +
				`{"room":"sip:chat-2@example.test","members":1,"owner":"sip:bob@example.test"}]`},
			{mi.Kamailio, "imc.list_members sip:chat-1@example.test more", `{"room":"sip:chat-1@example.test",` +
				`"members":["sip:alice@example.test","sip:carol@example.test","sip:bob@example.test"],"count":3}`},
			{mi.Kamailio, "imc.list_members", "500 No room name"},
			{mi.Kamailio, "imc.list_members .", "500 Empty room name"},
			{mi.Kamailio, "imc.list_members tel:1", "500 Invalid room name"},
			{mi.Kamailio, "imc.list_members sip:chat-9@example.test", "500 Room not found"},
			{mi.Kamailio, "imc.list_members sip:chat-1@far.test", "500 Room not found"},
			{mi.OpenSIPS, "imc_list_rooms", `{"ROOMS":[{"URI":"sip:chat-1@example.test","MEMBERS":3,"OWNER":"sip:alice@example.test"},` +
				`{"URI":"sip:chat-2@example.test","MEMBERS":1,"OWNER":"sip:bob@example.test"}]}`},
			{mi.OpenSIPS, "imc_list_members sip:chat-2@example.test", `{"ROOM":"sip:chat-2@example.test",` +
				`"MEMBERS":["sip:bob@example.test"],"NO_MEMBERS":1}`},
			{mi.OpenSIPS, "imc_list_members sip:chat-9@example.test", "404 no such room"},
			{mi.Native, "imc_list_rooms", `[{"room":"sip:chat-1@example.test","members":3,"owner":"sip:alice@example.test","private":false,"topic":"","title":""},` +
				`{"room":"sip:chat-2@example.test","members":1,"owner":"sip:bob@example.test","private":true,"topic":"","title":""}]`},
		} {
			words := strings.Fields(c.words)
			if got := rpc(t, r, c.d, words[0], words[1:]...); got != c.want {
				t.Errorf("%s\n got %s\nwant %s", c.words, got, c.want)
			}
		}
		w.must("alice", "chat-1", "#destroy")
		w.must("bob", "chat-2", "#destroy")
		if got := classic(t, r, "imc_list_rooms"); got != "200 OK\n\n" {
			t.Errorf("no rooms: %q", got)
		}
		if got := rpc(t, r, mi.Kamailio, "imc.list_rooms"); got != "[]" {
			t.Errorf("no rooms: %s", got)
		}
		if got := rpc(t, r, mi.OpenSIPS, "imc_list_rooms"); got != `{"ROOMS":[]}` {
			t.Errorf("no rooms: %s", got)
		}
	})
}

// TestOperatorChangesRooms checks that management commands act as # commands: members
// are notified, and refusals are explained.
func TestOperatorChangesRooms(t *testing.T) {
	managed(t, func(t *testing.T, w *world, r *mi.Registry) {
		do := func(want, words string) {
			t.Helper()
			f := strings.Fields(words)
			if got := rpc(t, r, mi.Native, f[0], f[1:]...); got != want {
				t.Errorf("%s\n got %s\nwant %s", words, got, want)
			}
			w.settleDown()
		}
		wantNotices := func(user string, want ...string) {
			t.Helper()
			got := w.read(user)
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("%s got %q, want %q", user, got, want)
			}
		}
		do("null", "imc_create_room chat-3 erin private")
		wantNotices("erin", "chat-3: You have created chat-3, a private room, and own it. #invite USER invites a user; #help lists the commands.")
		do("409 chat-3 already exists. Send #join chat-3 to join it.", "imc_create_room chat-3 alice")
		do("400 lobby is not a valid room name. Room names match ^chat-[0-9]+$", "imc_create_room lobby alice")
		do("400 the third argument must be private or public", "imc_create_room chat-4 alice secret")
		do("null", "imc_add_member chat-3 frank admin")
		wantNotices("erin", "chat-3: frank has joined chat-3.", "chat-3: frank is now admin of chat-3.")
		wantNotices("frank", "chat-3: frank has joined chat-3.", "chat-3: frank is now admin of chat-3.")
		do("400 king is not a role. The roles are owner, admin and member.", "imc_add_member chat-3 gina king")
		do("404 no such room", "imc_add_member chat-9 gina")
		do("null", "imc_modify_member chat-3 frank owner")
		wantNotices("erin", "chat-3: frank is now owner of chat-3.")
		do("404 gina is not a member of chat-3. #list lists the members.", "imc_modify_member chat-3 gina admin")
		do("null", "imc_modify_member chat-3 erin muted")
		wantNotices("erin", "chat-3: erin has been muted by the operator.")
		do("null", "imc_modify_member chat-3 erin unmuted")
		do("null", "imc_modify_member chat-3 erin banned")
		w.ignore()
		do("400 the role must be owner, admin, member, muted, unmuted, banned or unbanned", "imc_modify_member chat-3 erin king")
		do("null", "imc_modify_member chat-3 erin unbanned")
		do("403 frank owns chat-3. First make another member the owner with #modify USER owner.", "imc_remove_member chat-3 frank")
		do("null", "imc_remove_member chat-1 carol")
		wantNotices("carol", "chat-1: You have been removed from chat-1 by the operator.")
		wantNotices("bob", "chat-1: carol has been removed from chat-1 by the operator.")
		do("null", "imc_remove_member chat-1 dave") // an invitation
		do("null", "imc_destroy_room chat-3")
		wantNotices("frank", "chat-3: chat-3 has been destroyed by the operator.")
		do("404 no such room", "imc_destroy_room chat-3")
	})
}

// TestOperatorArguments checks that a management command says which argument is wrong, and
// that Kamailio's clients get Kamailio's errors.
func TestOperatorArguments(t *testing.T) {
	managed(t, func(t *testing.T, _ *world, r *mi.Registry) {
		const (
			room = ", write chat-1, chat-1@example.org or sip:chat-1@example.org"
			user = ", write bob, bob@example.org or sip:bob@example.org"
		)
		for _, c := range []struct {
			want  string
			words []string
		}{
			{"400 ROOM is empty: write chat-1, chat-1@example.org or sip:chat-1@example.org", []string{"imc_show_room", ""}},
			{"400 ROOM is empty: write chat-1, chat-1@example.org or sip:chat-1@example.org", []string{"imc_list_members", " \t"}},
			{"400 ROOM is wrong: sip:@ is not an address" + room, []string{"imc_destroy_room", "sip:@"}},
			{"400 ROOM is wrong: chat 1@ is not an address" + room, []string{"imc_room_active", "chat\n1@"}},
			{"400 ROOM is wrong: chat-1@far.test is not in a domain of this server", []string{"imc_history", "chat-1@far.test"}},
			{"400 USER is empty: write bob, bob@example.org or sip:bob@example.org", []string{"imc_add_member", "chat-1", ""}},
			{"400 USER is wrong: @ is not an address" + user, []string{"imc_remove_member", "chat-1", "@"}},
			{"400 USER is wrong: tel:+49 is not an address" + user, []string{"imc_room_member", "chat-9", "tel:+49"}},
			{"400 OWNER is empty: write bob, bob@example.org or sip:bob@example.org", []string{"imc_create_room", "chat-9", ""}},
			{"400 bob%0D%0A is not a user address. Write sip:user@domain, user@domain, or user.", []string{"imc_add_member", "chat-1", "bob%0d%0a"}},
			{"400 chat-9%00 is not a valid room name. Room names match ^chat-[0-9]+$", []string{"imc_create_room", "chat-9%00", "bob"}},
			{`{"member":false}`, []string{"imc_room_member", "chat-9", "bob"}},
		} {
			if got := rpc(t, r, mi.Native, c.words[0], c.words[1:]...); got != c.want {
				t.Errorf("%q\n got %s\nwant %s", c.words, got, c.want)
			}
		}
		for _, c := range []struct {
			d    mi.Dialect
			want string
		}{{mi.Classic, "404 room name not found"}, {mi.OpenSIPS, "404 room name not found"}, {mi.Kamailio, "500 Empty room name"}} {
			if got := rpc(t, r, c.d, "imc_list_members", ""); got != c.want {
				t.Errorf("imc_list_members without a room: %s, want %s", got, c.want)
			}
		}
	})
}

// TestOperatorReadsRooms checks the management commands that read rooms.
func TestOperatorReadsRooms(t *testing.T) {
	managed(t, func(t *testing.T, w *world, r *mi.Registry) {
		w.must("alice", "chat-1", "#topic tea")
		w.must("bob", "chat-1", "hello\nthere")
		w.handle(w.message("bob", "chat-1", "image/png", "\x89PNG"))
		check := func(want string, words ...string) {
			t.Helper()
			if got := rpc(t, r, mi.Native, words[0], words[1:]...); got != want {
				t.Errorf("%s\n got %s\nwant %s", words, got, want)
			}
		}
		check(`{"active":true,"members":3}`, "imc_room_active", "chat-1")
		check(`{"active":false}`, "imc_room_active", "chat-9")
		check(`{"member":true,"role":"owner"}`, "imc_room_member", "chat-1", "alice")
		check(`{"member":false,"role":"invited"}`, "imc_room_member", "chat-1", "sip:dave@example.test")
		check(`{"member":false,"role":"banned"}`, "imc_room_member", "chat-2", "troll")
		check(`{"member":false}`, "imc_room_member", "chat-1", "nobody")
		check(`[{"seq":4,"time":"2000-01-01T00:00:00Z","from":"sip:bob@example.test","type":"text/plain","size":11,"text":"hello\nthere"},`+
			`{"seq":5,"time":"2000-01-01T00:00:00Z","from":"sip:bob@example.test","type":"image/png","size":4,"text":""}]`, "imc_history", "chat-1", "2")
		check("404 no such room", "imc_history", "chat-9")
		check("400 COUNT must be a number", "imc_history", "chat-1", "some")
		check("400 then is not a time. Write 30m, 2h, 3d, 15:04, 2006-01-02 or 2006-01-02T15:04.", "imc_history", "chat-1", "0", "then")
		check(`{"room":"sip:chat-2@example.test","owner":"sip:bob@example.test","members":1,"private":true,`+
			`"created":"2000-01-01T00:00:00Z","last_use":"2000-01-01T00:00:00Z","newest_entry":0,"topic":"","moderated":false,"title":"","people":[`+
			`{"user":"sip:bob@example.test","role":"owner","muted":false,"paused":false,"behind":false,"seen":"2000-01-01T00:00:00Z","voiced":false,"muted_until":"","banned_until":"","reason":"","nick":""},`+
			`{"user":"sip:troll@example.test","role":"banned","muted":false,"paused":false,"behind":false,"seen":"2000-01-01T00:00:00Z","voiced":false,"muted_until":"","banned_until":"","reason":"","nick":""}]}`,
			"imc_show_room", "chat-2")
		check(`[{"user":"sip:bob@example.test","role":"owner","muted":false,"paused":false,"behind":false,"seen":"2000-01-01T00:00:00Z","voiced":false,"muted_until":"","banned_until":"","reason":"","nick":""}]`,
			"imc_list_members", "chat-2")
		want := "200 OK\nROOM:: sip:chat-2@example.test owner=sip:bob@example.test members=1 private=true created=2000-01-01T00:00:00Z " +
			"last_use=2000-01-01T00:00:00Z newest_entry=0 topic= moderated=false title=\n" +
			"\tMEMBER:: sip:bob@example.test role=owner muted=false paused=false behind=false seen=2000-01-01T00:00:00Z voiced=false muted_until= banned_until= reason= nick=\n" +
			"\tMEMBER:: sip:troll@example.test role=banned muted=false paused=false behind=false seen=2000-01-01T00:00:00Z voiced=false muted_until= banned_until= reason= nick=\n\n"
		if got := classic(t, r, "imc_show_room", "chat-2"); got != want {
			t.Errorf("imc_show_room\n got %q\nwant %q", got, want)
		}

		check("[]", "imc_unused_rooms", "1")
		time.Sleep(25 * time.Hour)
		w.must("bob", "chat-1", "again")
		check(`[{"room":"sip:chat-2@example.test","members":1,"owner":"sip:bob@example.test","last_use":"2000-01-01T00:00:00Z"}]`, "imc_unused_rooms", "1")
		check("[]", "imc_unused_rooms")
		check("400 DAYS must be a number", "imc_unused_rooms", "many")
	})
}

// TestStatistics checks the counters, among them active_rooms, which Kamailio never
// changes.
func TestStatistics(t *testing.T) {
	managed(t, func(t *testing.T, w *world, r *mi.Registry) {
		stat := func(name string) int64 {
			for _, s := range w.rooms.Counters() {
				if s.Name == name {
					return s.Value()
				}
			}
			t.Fatalf("no statistic %s", name)
			return 0
		}
		expect := func(name string, want int64) {
			t.Helper()
			if got := stat(name); got != want {
				t.Errorf("%s is %d, want %d", name, got, want)
			}
		}
		expect("active_rooms", 2)
		expect("room_members", 3)
		expect("commands", 6)
		expect("notices", 2)
		before := stat("deliveries")
		w.must("alice", "chat-1", "hello")
		expect("messages", 1)
		expect("deliveries", before+2)
		w.say("mallory", "chat-1", "hello")
		expect("refused_requests", 1)
		w.handle(w.message("bob", "chat-1", "message/imdn+xml", "<imdn/>"))
		expect("dropped_requests", 1)
		w.restart()
		expect("active_rooms", 2)
		w.must("bob", "chat-2", "#exit")
		expect("active_rooms", 1)
		expect("room_members", 3)
		w.must("bob", "chat-2", "#create")
		expect("active_rooms", 2)
		w.must("alice", "chat-1", "#destroy")
		time.Sleep(3 * time.Minute) // until sweep has deleted it
		expect("active_rooms", 1)
		expect("room_members", 1)
		expect("waiting_answers", 0)
	})
}

// TestRefusedDeliveryMovesOn checks that a refused delivery does not block later ones.
func TestRefusedDeliveryMovesOn(t *testing.T) {
	managed(t, func(t *testing.T, w *world, _ *mi.Registry) {
		w.offline.Store("carol", true)
		w.must("alice", "chat-1", "one")
		w.must("alice", "chat-1", "two")
		items, err := w.rooms.Next(t.Context(), aor("carol"), 0, 10)
		if err != nil || len(items) != 2 {
			t.Fatalf("%v %v", items, err)
		}
		w.rooms.Settle(aor("carol"), &items[0], delivery.Outcome{Verdict: delivery.Refused, Reason: "603 Decline"}, func(error) {})
		w.online("carol")
		if got := w.read("carol"); len(got) != 1 || got[0] != "chat-1: [alice]: two" {
			t.Errorf("carol got %q", got)
		}
	})
}

var _ imc.Waker = (*delivery.Queue)(nil)
