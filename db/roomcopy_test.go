package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/sip"
)

// statementsOf returns the statements that f runs.
func statementsOf(db *DB, f func()) (list []string) {
	db.layout.watch = func(text string, _ []any) { list = append(list, text) }
	defer func() { db.layout.watch = nil }()
	f()
	return list
}

// TestStartReadsFewRows checks that a start reads the rows of members without values of their own only
// if a member is missing, and that it removes the cause: the cursor of a former member.
func TestStartReadsFewRows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Rooms()
		threeRooms(t, db)
		readsAll := func() bool {
			t.Helper()
			var got map[sip.AoR]loaded
			all := statementsOf(db, func() { got = loadRooms(t, st) })
			if len(got) != 3 || len(got[room1].Members) != 5 {
				t.Errorf("got %+v", got)
			}
			return strings.Contains(strings.Join(all, "\n"), "0) "+plainRole)
		}
		if readsAll() {
			t.Error("a start reads all rows of members")
		}
		if err := st.SaveCursors(t.Context(), []imc.Cursor{{Room: room1, User: aor("gone@example.org"), Seq: 3, Seen: noon}}); err != nil {
			t.Fatal(err)
		}
		if !readsAll() {
			t.Error("a start with a cursor of another user does not look for members that are missing")
		}
		if readsAll() {
			t.Error("the second start reads all rows of members")
		}
	})
}

// TestFirstStart checks that the first start after an upgrade, which copies the roles of all rooms,
// writes only silod's own two rows of each.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	db := open(t, engines[0].fresh(t), Options{})
	const rooms = 3 * respellRows
	for i := range rooms {
		apply(t, db.Rooms(), imc.Change{
			Room: imc.Room{AoR: aor(fmt.Sprintf("chat-%d@example.org", i)), Created: noon},
			Put:  []imc.Member{{User: alice, Role: imc.Owner, Seen: noon}, {User: bob, Role: imc.Plain, Seen: noon}},
		})
	}
	rawExec(t, db, "UPDATE silod_member SET role = 0")
	writes := 0
	for _, text := range statementsOf(db, func() { loadRooms(t, db.Rooms()) }) {
		if !strings.HasPrefix(text, "SELECT") {
			writes++
		}
	}
	if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_member WHERE role = 4")); n != rooms || writes > 2*rooms {
		t.Errorf("%d statements have written %d roles, want %d", writes, n, rooms)
	}
	rawExec(t, db, "DELETE FROM imc_members")
	for a, r := range loadRooms(t, db.Rooms()) {
		if r.Members[alice].Role != imc.Owner || r.Members[bob].Role != imc.Plain {
			t.Fatalf("%s is restored as %+v", a, r)
		}
	}
}

// TestMemberSpellings checks that the values of rows of one member in two spellings are merged: a
// sanction ends with the last of them, and no value is lost.
func TestMemberSpellings(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		rawExec(t, db, "INSERT INTO imc_rooms (name, domain, flag) VALUES ('chat-1', 'example.org', 0)",
			"INSERT INTO imc_members (username, domain, room, flag) VALUES ('alice', 'example.org', 'sip:chat-1@example.org', 1), "+
				"('bob', 'example.org', 'sip:chat-1@example.org', 0), ('%62ob', 'example.org', 'sip:chat-1@example.org', 2)")
		const columns = "INSERT INTO silod_member (room, username, domain, muted, paused, banned, invited_user, invited_domain, muted_until, " +
			"banned_until, reason, voiced, nick, added_user, added_domain, role) VALUES ('sip:chat-1@example.org', "
		rawExec(t, db,
			columns+"'%62ob', 'example.org', 1, 0, 0, '', '', 5000, 0, 'loud', 0, 'Bobby', 'alice', 'example.org', 3)",
			columns+"'bob', 'example.org', 0, 1, 0, 'alice', 'example.org', 0, 0, '', 1, '', '', '', 2)",
			columns+"'%65ve', 'example.org', 0, 0, 1, '', '', 0, 7000, 'spam', 0, '', '', '', 5)",
			columns+"'eve', 'example.org', 0, 0, 1, '', '', 0, 6000, '', 0, '', '', '', 5)",
			"INSERT INTO silod_cursor (room, username, domain, seq, seen, since) VALUES "+
				"('sip:chat-1@example.org', '%62ob', 'example.org', 5, 0, 4), ('sip:chat-1@example.org', 'bob', 'example.org', 4, 1000, 0)")
		eve := aor("eve@example.org")
		want := map[sip.AoR]imc.Member{
			alice: {User: alice, Role: imc.Owner},
			bob: {
				User: bob, Role: imc.Admin, Muted: true, MutedUntil: time.UnixMilli(5000), Reason: "loud", Paused: true, Voiced: true,
				Nick: "Bobby", AddedBy: alice, InvitedBy: alice, Cursor: 5, Since: 4, Seen: time.UnixMilli(1000),
			},
			eve: {User: eve, Role: imc.Banned, BannedUntil: time.UnixMilli(7000), Reason: "spam"},
		}
		for _, start := range []string{"first", "second"} {
			got := loadRooms(t, db.Rooms())[room1].Members
			for u, m := range want {
				if got[u] != m {
					t.Errorf("%s start:\n got %+v\nwant %+v", start, got[u], m)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s start: got %+v", start, got)
			}
		}
	})
}
