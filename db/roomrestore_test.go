package db

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"silod/imc"
	"silod/sip"
)

// threeRooms stores three rooms: one with many members and one with one.
func threeRooms(t testing.TB, db *DB) {
	t.Helper()
	st := db.Rooms()
	member := func(user string, role imc.Role, since int64) imc.Member {
		return imc.Member{User: aor(user + "@example.org"), Role: role, Cursor: 7, Seen: noon.Local(), Since: since}
	}
	apply(t, st, imc.Change{
		Room: imc.Room{AoR: room1, Private: true, Topic: "tea", Created: noon.Local(), Title: "Tea"},
		Put: []imc.Member{
			member("alice", imc.Owner, 1), member("bob", imc.Admin, 3), member("carol", imc.Plain, 2),
			member("dave", imc.Invited, 0), member("mallory", imc.Banned, 0),
		},
	})
	apply(t, st, imc.Change{
		Room: imc.Room{AoR: aor("chat-2@example.org"), Created: noon.Local()}, Put: []imc.Member{member("bob", imc.Owner, 1)},
	})
	apply(t, st, imc.Change{
		Room: imc.Room{AoR: aor("chat-3@example.org"), Created: noon.Local()},
		Put:  []imc.Member{member("carol", imc.Owner, 1), member("alice", imc.Plain, 2)},
	})
}

// TestRoomsRestored empties and changes Kamailio's tables as Kamailio's imc and other programs do.
func TestRoomsRestored(t *testing.T) {
	t.Parallel()
	const empty = "DELETE FROM imc_rooms; DELETE FROM imc_members"
	room := func(name string) string {
		return "INSERT INTO imc_rooms (name, domain, flag) VALUES ('" + name + "', 'example.org', 0)"
	}
	member := func(user, room string, flag int) string {
		return fmt.Sprintf("INSERT INTO imc_members (username, domain, room, flag) VALUES ('%s', 'example.org', 'sip:%s@example.org', %d)", user, room, flag)
	}
	all := "chat-1: alice=owner bob=admin carol=member dave=invited mallory=banned; chat-2: bob=owner; chat-3: alice=member carol=owner"
	for _, c := range []struct {
		name, change, want string
		once               bool // on one engine
	}{
		{"nothing", "", all, true},
		{"both emptied", empty, all, false},
		{"rooms emptied", "DELETE FROM imc_rooms", all, true},
		{"members emptied", "DELETE FROM imc_members", all, true},
		{"another room since", empty + ";" + room("chat-9") + ";" + member("zoe", "chat-9", 1), all + "; chat-9: zoe=owner", true},
		{"same room by its member", empty + ";" + room("chat-1") + ";" + member("bob", "chat-1", 1), all, true},
		{
			"private room by a stranger", empty + ";" + room("chat-1") + ";" + member("zoe", "chat-1", 1),
			all, true,
		},
		{
			"public room by a stranger", empty + ";" + room("chat-3") + ";" + member("zoe", "chat-3", 1),
			all + " zoe=member", true,
		},
		{
			"one room", "DELETE FROM imc_rooms WHERE name = 'chat-2'; DELETE FROM imc_members WHERE room = 'sip:chat-2@example.org'",
			"chat-1: alice=owner bob=admin carol=member dave=invited mallory=banned; chat-3: alice=member carol=owner", false,
		},
		{
			"one member", "DELETE FROM imc_members WHERE username = 'carol' AND room = 'sip:chat-1@example.org'",
			"chat-1: alice=owner bob=admin dave=invited mallory=banned; chat-2: bob=owner; chat-3: alice=member carol=owner", false,
		},
		{
			"room of two by its member", empty + ";" + room("chat-3") + ";" + member("alice", "chat-3", 1), all, true,
		},
		{
			"roles", "UPDATE imc_members SET flag = 0 WHERE username = 'bob' AND room = 'sip:chat-1@example.org';" +
				"UPDATE imc_members SET flag = 2 WHERE username = 'alice' AND room = 'sip:chat-3@example.org'",
			"chat-1: alice=owner bob=member carol=member dave=invited mallory=banned; chat-2: bob=owner; chat-3: alice=admin carol=owner", false,
		},
		{
			"an old silod", "UPDATE silod_member SET role = 0;" + empty,
			"chat-1: alice=member bob=member carol=member dave=member mallory=banned; chat-2: bob=member; chat-3: alice=member carol=member", true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			on := onEach
			if c.once {
				on = func(t *testing.T, f func(*testing.T, *DB)) { f(t, open(t, engines[0].fresh(t), Options{})) }
			}
			on(t, func(t *testing.T, db *DB) {
				threeRooms(t, db)
				for s := range strings.SplitSeq(c.change, ";") {
					if s != "" {
						rawExec(t, db, s)
					}
				}
				first := loadRooms(t, db.Rooms())
				if got := inWords(first); got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
				if r := first[room1]; !r.Room.Private || r.Room.Topic != "tea" || r.Room.Title != "Tea" || r.Members[alice].Cursor != 7 || r.Members[alice].Since != 1 {
					t.Errorf("got %+v", r)
				}
				if n, err := db.notes.load(t.Context(), noteRestoring); n != 0 || err != nil {
					t.Errorf("the restoration is not complete: %d, %v", n, err)
				}
				again := loadRooms(t, db.Rooms())
				if !reflect.DeepEqual(again, first) {
					t.Errorf("the second start has\n%+v\nand the first\n%+v", again, first)
				}
				// A room that is removed afterwards does not come back with the others.
				rawExec(t, db, "DELETE FROM imc_rooms", "DELETE FROM imc_members")
				if got := inWords(loadRooms(t, db.Rooms())); got != c.want && !strings.Contains(c.name, "another") {
					t.Errorf("emptied again: %s", got)
				}
			})
		})
	}
}

// inWords returns rooms with their members and roles.
func inWords(rooms map[sip.AoR]loaded) string {
	var list []string
	for a, r := range rooms {
		var members []string
		for u, m := range r.Members {
			members = append(members, u.User+"="+m.Role.String())
		}
		slices.Sort(members)
		list = append(list, a.User+": "+strings.Join(members, " "))
	}
	slices.Sort(list)
	return strings.Join(list, "; ")
}

// TestRestorationEndsEarly ends a restoration after some of its steps: the next start completes it.
func TestRestorationEndsEarly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		want := map[sip.AoR]bool{}
		for i := range 8 {
			a := aor(fmt.Sprintf("chat-%d@example.org", i+1))
			want[a] = true
			put := []imc.Member{{User: alice, Role: imc.Owner, Seen: noon}}
			for j := range 3 * respellRows / 2 {
				put = append(put, imc.Member{User: aor(fmt.Sprintf("u%d@example.org", j)), Role: imc.Plain, Seen: noon})
			}
			apply(t, st, imc.Change{Room: imc.Room{AoR: a, Created: noon}, Put: put})
		}
		before := loadRooms(t, st)
		rawExec(t, db, "DELETE FROM imc_rooms WHERE name <> 'chat-2' AND name <> 'chat-3' AND name <> 'chat-4' AND name <> 'chat-5' AND name <> 'chat-6'",
			"DELETE FROM imc_members WHERE room = 'sip:chat-7@example.org' OR room = 'sip:chat-2@example.org' AND username <> 'alice' AND username <> 'u1' AND username <> 'u2'")
		if err := db.notes.save(t.Context(), noteRestoring, 1); err != nil {
			t.Fatal(err)
		}
		if got := loadRooms(t, st); len(got) != len(want) || !maps.EqualFunc(got, before, func(a, b loaded) bool { return len(a.Members) == len(b.Members) }) {
			t.Errorf("%d rooms are restored, want %d", len(got), len(want))
		}
		if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM imc_members")); n != 8*(3*respellRows/2+1) {
			t.Errorf("imc_members has %d rows", n)
		}
	})
}
