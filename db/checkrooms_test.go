package db

import (
	"fmt"
	"strings"
	"testing"

	"silod/imc"
)

// TestRoomsWithBadRows checks that rows with NULL or with values of another type, as columns of old
// or foreign schemas allow, do not stop the start: the other rooms and members are there, each
// bad row is told once, and `db check` shows their number and the reasons.
func TestRoomsWithBadRows(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{Domains: names})
			alter := "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL"
			switch e.name {
			case "sqlite":
				rawExec(t, db, "DROP TABLE imc_rooms", "DROP TABLE imc_members",
					"CREATE TABLE imc_rooms (id INTEGER PRIMARY KEY, name VARCHAR(64), domain VARCHAR(64), flag INTEGER, UNIQUE (name, domain))",
					"CREATE TABLE imc_members (id INTEGER PRIMARY KEY, username VARCHAR(64), domain VARCHAR(64), room VARCHAR(64), flag INTEGER, UNIQUE (username, domain, room))")
			case "mariadb":
				alter = "ALTER TABLE %s MODIFY %s VARCHAR(64)"
				rawExec(t, db, "ALTER TABLE imc_rooms MODIFY flag INT", "ALTER TABLE imc_members MODIFY flag INT")
			case "postgres":
				rawExec(t, db, fmt.Sprintf(alter, "imc_rooms", "flag"), fmt.Sprintf(alter, "imc_members", "flag"))
			}
			for table, columns := range map[string][]string{"imc_rooms": {"name", "domain"}, "imc_members": {"username", "domain", "room"}} {
				for _, c := range columns {
					if e.name != "sqlite" {
						rawExec(t, db, fmt.Sprintf(alter, table, c))
					}
				}
			}
			rawExec(t, db, `INSERT INTO imc_rooms (name, domain, flag) VALUES (NULL, 'example.org', 0), ('chat-1', 'example.org', 0),
				('chat-8', NULL, 0), ('chat-9', 'example.org', NULL)`,
				`INSERT INTO imc_members (username, domain, room, flag) VALUES ('alice', 'example.org', 'sip:chat-1@example.org', 1),
				(NULL, 'example.org', 'sip:chat-1@example.org', 0), ('x', NULL, 'sip:chat-1@example.org', 0),
				('y', 'example.org', NULL, 0), ('z', 'example.org', 'sip:chat-1@example.org', NULL), ('bob', 'example.org', 'sip:chat-1@example.org', 0)`,
				`INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) VALUES ('nonsense', '', '', 5, '', '')`)
			var got []string
			told := map[string]int{}
			err := db.Rooms().Load(t.Context(), func(r imc.Room, ms []imc.Member) {
				for _, m := range ms {
					got = append(got, r.AoR.User+" "+m.User.User)
				}
			}, func(err error) { told[err.Error()]++ })
			if want := "chat-1 alice chat-1 x chat-1 z chat-1 bob"; err != nil || strings.Join(got, " ") != want {
				t.Errorf("got %q, want %q; %v", got, want, err)
			}
			lines := 0
			for _, n := range told {
				lines += n
			}
			if lines != 3 {
				t.Errorf("%d lines, want 3: %v", lines, told)
			}
			found, err := Check(t.Context(), url, Options{Domains: names})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if f.Table == "imc_rooms" && !strings.Contains(f.Note, "3 rows of rooms, members or cursors are not used: row of imc_rooms") {
					t.Errorf("check: %+v", f)
				}
			}
		})
	}
}
