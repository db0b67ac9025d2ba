package db

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/sip"
)

// Bindings in other spellings are loaded, refreshed and removed, and Kamailio finds those of
// silod, which are without escapes.
func TestBindingsInOtherSpellings(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		st := db.Bindings()
		for i, s := range spelled {
			ch := simpleBinding(fmt.Sprint("uloc-", i))
			ch.AoR = sip.AoR{User: s.user, Domain: s.domain}
			db.layout.domains = sip.Domains{} // writes it as it is
			save(t, st, ch)
			db.layout.domains = names
		}
		got := loadBindings(t, st, noon)
		for i, s := range spelled {
			ch := got[fmt.Sprint("uloc-", i)]
			if ch.AoR != aor(s.aor) {
				t.Errorf("%q@%q is %s", s.user, s.domain, ch.AoR)
			}
			if ch.Removed = i%2 == 0; !ch.Removed {
				ch.Binding.CSeq++
			}
			save(t, st, ch)
		}
		after := loadBindings(t, st, noon)
		if len(after) != len(spelled)/2 {
			t.Errorf("%d bindings", len(after))
		}
		for ruid, ch := range after {
			if ch.Binding.CSeq != got[ruid].Binding.CSeq+1 || ch.AoR != got[ruid].AoR {
				t.Errorf("%+v", ch)
			}
		}
		ch := simpleBinding("silod-x")
		ch.AoR = aor("sip:j%C3%BCrgen@example.org")
		save(t, st, ch)
		if got := asText(rawValue(t, db, "SELECT username FROM location WHERE ruid = 'silod-x'")); got != "jürgen" {
			t.Errorf("location has %q", got)
		}
	})
}

// Rooms and members in other spellings are those of silod's, and later changes hit their rows.
func TestRoomsInOtherSpellings(t *testing.T) {
	t.Parallel()
	onEachWith(t, Options{Domains: names}, func(t *testing.T, db *DB) {
		st := db.Rooms()
		rawExec(t, db,
			"INSERT INTO imc_rooms (name, domain, flag) VALUES ('chat-1', 'EXAMPLE.org.', 0), ('Raum#1', '127.0.0.1', 1), ('chat-1', '127.0.0.1', 0)",
			`INSERT INTO imc_members (username, domain, room, flag) VALUES
				('%2B4917', 'example.org', 'sip:chat-1@EXAMPLE.org.', 1), ('o%27neil', 'EXAMPLE.org', 'sip:chat-1@EXAMPLE.org.', 0),
				('jürgen', '127.0.0.1', 'sip:chat-1@EXAMPLE.org.', 0), ('j%C3%BCrgen', 'example.org', 'sip:chat-1@EXAMPLE.org.', 2),
				('alice', 'example.org', 'sip:Raum#1@127.0.0.1', 1), ('mallory', 'example.org', 'sip:chat-1@127.0.0.1', 1)`,
			`INSERT INTO silod_room (room, flag, is_empty, topic, created) VALUES ('sip:raum#1@127.0.0.1', 1, 0, 'topic', 5)`,
			`INSERT INTO silod_member (room, username, domain, muted, paused, banned, invited_user, invited_domain) VALUES
				('sip:chat-1@EXAMPLE.org.', 'jürgen', '127.0.0.1', 1, 0, 0, 'O%27neil', ''), ('sip:chat-1@EXAMPLE.org.', 'Eve', 'example.org', 0, 0, 1, '', '')`,
			`INSERT INTO silod_cursor (room, username, domain, seq, seen) VALUES
				('sip:chat-1@EXAMPLE.org.', 'jürgen', '127.0.0.1', 7, 0), ('sip:chat-1@example.org', 'j%C3%BCrgen', 'example.org', 5, 0)`,
			`INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) VALUES ('sip:raum#1@127.0.0.1', 'Alice', '', 5, '', 'hello')`,
		)
		chat, raum, alice := room1, aor("sip:raum%231@example.org"), aor("sip:alice@example.org")
		phone, neil := aor("sip:+4917@example.org"), aor("sip:o'neil@example.org")
		jurgen, eve := aor("sip:j%C3%BCrgen@example.org"), aor("sip:eve@example.org")
		want := map[sip.AoR]loaded{
			chat: {imc.Room{AoR: chat}, map[sip.AoR]imc.Member{
				phone: {User: phone, Role: imc.Owner}, neil: {User: neil, Role: imc.Plain}, eve: {User: eve, Role: imc.Banned},
				jurgen: {User: jurgen, Role: imc.Admin, Muted: true, InvitedBy: neil, Cursor: 7},
			}},
			raum: {imc.Room{AoR: raum, Private: true, Topic: "topic", Created: time.UnixMilli(5)}, map[sip.AoR]imc.Member{
				alice: {User: alice, Role: imc.Owner},
			}},
		}
		for run := range 2 {
			var skipped []string
			got := map[sip.AoR]loaded{}
			err := st.Load(t.Context(), func(r imc.Room, ms []imc.Member) {
				l := loaded{r, map[sip.AoR]imc.Member{}}
				for _, m := range ms {
					l.Members[m.User] = m
				}
				got[r.AoR] = l
			}, func(err error) { skipped = append(skipped, err.Error()) })
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("start %d: %v\n got %+v\nwant %+v", run+1, err, got, want)
			}
			if len(skipped) != 1 || !strings.Contains(skipped[0], "sip:chat-1@127.0.0.1") {
				t.Errorf("start %d: skipped %q", run+1, skipped)
			}
		}
		if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM imc_members WHERE username = 'mallory'")); n != 1 {
			t.Error("the members of the second room are lost")
		}
		if es, err := st.Log(t.Context(), raum, 0, 10); err != nil || len(es) != 1 || es[0].From != alice || string(es[0].Body) != "hello" {
			t.Errorf("log: %+v, %v", es, err)
		}
		apply(t, st, imc.Change{Room: imc.Room{AoR: chat}, Remove: []sip.AoR{neil, jurgen}, Put: []imc.Member{{User: phone, Role: imc.Admin}}})
		erase(t, st, raum)
		for text, want := range map[string]int64{
			"SELECT COUNT(*) FROM imc_members WHERE room LIKE 'sip:chat-1@%' AND username <> 'mallory'": 1,
			"SELECT COUNT(*) FROM imc_rooms":      2,
			"SELECT COUNT(*) FROM silod_room_log": 0,
			"SELECT COUNT(*) FROM silod_cursor":   2, // of the phone and the banned user
		} {
			if n := asInt(rawValue(t, db, text)); n != want {
				t.Errorf("%s: %d, want %d", text, n, want)
			}
		}
	})
}

// A room whose rows cannot be replaced is skipped, and loses nothing. The other rooms are loaded.
func TestRoomsThatCannotBeRespelled(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{Domains: names})
			long := strings.Repeat("#", 20) // its URI does not fit into a column with its escapes
			rawExec(t, db, "INSERT INTO imc_rooms (name, domain, flag) VALUES ('"+long+"', 'example.org', 0), ('Chat-1', 'example.org', 0), ('chat-2', 'example.org', 0)",
				`INSERT INTO imc_members (username, domain, room, flag) VALUES ('alice', 'example.org', 'sip:`+long+`@example.org', 1),
				('Alice', 'example.org', 'sip:Chat-1@example.org', 1), ('alice', 'example.org', 'sip:chat-2@example.org', 1)`)
			load := func() (rooms, skipped []string) {
				t.Helper()
				err := db.Rooms().Load(t.Context(), func(r imc.Room, _ []imc.Member) { rooms = append(rooms, r.AoR.User) },
					func(err error) { skipped = append(skipped, err.Error()) })
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(rooms)
				return rooms, skipped
			}
			rooms, skipped := load()
			if !slices.Equal(rooms, []string{"chat-1", "chat-2"}) || len(skipped) != 1 || !strings.Contains(skipped[0], "too long for Kamailio's tables") {
				t.Errorf("loaded %q, skipped %q", rooms, skipped)
			}
			if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM imc_members WHERE room = 'sip:"+long+"@example.org'")); n != 1 {
				t.Error("the members are lost")
			}
		})
	}
}

// Rows of the log that no silod has written do not keep a room from being loaded.
func TestOddLogRows(t *testing.T) {
	t.Parallel()
	db := open(t, engines[0].fresh(t), Options{Domains: names})
	rawExec(t, db, `INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) VALUES
		('sip:chat-1@example.org', '', '', 'yesterday', x'ff00', 7), ('sip:chat-1@example.org', 'Alice', 'example.org', 5, '', 'hello')`)
	es, err := db.Rooms().Recent(t.Context(), room1, 0, time.Time{}, 10)
	if err != nil || len(es) != 2 || es[0].From != room1 || string(es[0].Body) != "7" || es[1].From.User != "alice" || es[1].Room != room1 {
		t.Errorf("%+v, %v", es, err)
	}
}

// A copy of a database keeps the spellings, and rows of rooms that no daemon uses.
func TestCopyKeepsSpellings(t *testing.T) {
	t.Parallel()
	from, to := open(t, engines[0].fresh(t), Options{}), open(t, engines[0].fresh(t), Options{})
	for i, s := range spelled {
		insertAs(t, from, s.user, s.domain, "x")
		rawExec(t, from, fmt.Sprintf("INSERT INTO subscriber (username, domain, ha1) VALUES (%s, %s, 'h')", sqlText(s.user), sqlText(s.domain)),
			fmt.Sprintf("INSERT INTO imc_members (username, domain, room, flag) VALUES (%s, %s, 'sip:chat-1@example.org', 0)", sqlText(s.user), sqlText(s.domain)))
		ch := simpleBinding(fmt.Sprint("uloc-", i))
		ch.AoR = sip.AoR{User: s.user, Domain: s.domain}
		save(t, from.Bindings(), ch)
	}
	rawExec(t, from, "INSERT INTO imc_rooms (name, domain, flag) VALUES ('chat-1', 'example.org', 0), ('Raum#1', '', 1)",
		`INSERT INTO imc_members (username, domain, room, flag) VALUES ('', 'example.org', 'sip:chat-1@example.org', 1),
			('bob', 'example.org', 'chat-2', 0), ('bob', 'example.org', 'sip:Raum#1@', 64)`,
		"INSERT INTO silod_member (room, username, domain, muted, paused, banned, invited_user, invited_domain) VALUES ('sip:chat-1@example.org', '', '', 0, 0, 1, '', '')",
		"INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) VALUES ('chat-2', '', '', 5, '', 'x')")
	if err := Copy(t.Context(), from, to, CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{
		"username, domain FROM silo", "username, domain FROM subscriber", "username, domain FROM location", "username, room FROM imc_members",
		"name, domain FROM imc_rooms", "username, room FROM silod_member", "room, body FROM silod_room_log",
	} {
		list := func(db *DB) (out []string) {
			rows, err := db.reader.pool.QueryContext(context.Background(), "SELECT "+table+" ORDER BY 1, 2")
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var user, domain any
				if err := rows.Scan(&user, &domain); err != nil {
					t.Fatal(err)
				}
				out = append(out, asText(user)+"@"+asText(domain))
			}
			return out
		}
		if got, want := list(to), list(from); len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s:\n got %q\nwant %q", table, got, want)
		}
	}
}

// Check counts the rows in other spellings, and lists those that name no user.
func TestCheckNames(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{})
			for _, s := range append(spelled, struct{ aor, user, domain string }{"", "", "example.org"}) {
				insertAs(t, db, s.user, s.domain, "x")
			}
			insertAs(t, db, "bob", "example.org", "x")
			closeDB(t, db)
			found, err := Check(t.Context(), url, Options{Domains: names})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"silo": fmt.Sprintf("%d rows with users in other spellings; 1 rows without a user are not used: %d", len(spelled), len(spelled)+1)}
			for _, f := range found {
				if f.Note != want[f.Table] || f.Problem != "" {
					t.Errorf("%s: %q, %q", f.Table, f.Note, f.Problem)
				}
			}
		})
	}
}
