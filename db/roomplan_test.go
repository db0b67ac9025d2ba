package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/sip"
)

// TestRoomPlans checks that every statement on rooms uses an index, in a log in which a quiet room
// has half of the entries, all older than those of the other rooms. Engines that plan for the
// average room read the log of the others then.
func TestRoomPlans(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			const n = 10_000
			g := strings.Replace(series[e.name], "100000", "10000", 1)
			room := fmt.Sprintf("CONCAT('sip:chat-', CASE WHEN n <= %d THEN 1 ELSE 2 + n %% 500 END, '@example.org')", n/2)
			rawExec(t, db,
				`INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) SELECT `+room+`, 'a', 'b', n, '', 'x' `+g,
				`INSERT INTO imc_rooms (name, domain, flag) SELECT CONCAT('chat-', n), 'example.org', 0 `+g,
				`INSERT INTO silod_room (room, flag, is_empty, topic, created) SELECT CONCAT('sip:chat-', n, '@example.org'), 0, 0, '', 0 `+g,
				`INSERT INTO imc_members (username, domain, room, flag) SELECT CONCAT('m', n), 'example.org', `+room+`, 0 `+g,
				`INSERT INTO silod_member (room, username, domain, muted, paused, banned, invited_user, invited_domain)
					SELECT `+room+`, CONCAT('m', n), 'example.org', 0, 0, 0, '', '' `+g,
				`INSERT INTO silod_cursor (room, username, domain, seq, seen) SELECT `+room+`, CONCAT('m', n), 'example.org', n, 0 `+g,
			)
			for _, table := range []string{"silod_room_log", "imc_rooms", "silod_room", "imc_members", "silod_member", "silod_cursor"} {
				analyze := "ANALYZE "
				if e.name == "mariadb" {
					analyze = "ANALYZE TABLE "
				}
				rawExec(t, db, analyze+table)
			}
			type statement struct {
				text string
				args []any
			}
			var found []statement
			db.layout.watch = func(text string, args []any) {
				if len(args) > 0 {
					found = append(found, statement{text, args})
				}
			}
			useRooms(t, db, n)
			if len(found) < 30 {
				t.Errorf("only %d statements were seen", len(found))
			}
			db.layout.watch = nil
			for _, f := range found {
				checkRoomPlan(t, db, e.name, f.text, f.args)
			}
		})
	}
}

// useRooms calls all methods of the store of rooms that run while messages are served.
func useRooms(t *testing.T, db *DB, last int64) {
	t.Helper()
	ctx, st := t.Context(), db.Rooms()
	quiet, busy, gone := aor("chat-1@example.org"), aor("chat-2@example.org"), aor("chat-3@example.org")
	check := func(n int, err error, want int) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("%d rows, %v; want %d", n, err, want)
		}
	}
	for _, room := range []sip.AoR{quiet, busy} {
		es, err := st.Log(ctx, room, 0, 10)
		check(len(es), err, 10)
		es, err = st.Recent(ctx, room, 0, time.Time{}, 10)
		check(len(es), err, 10)
		seqs, err := st.Seqs(ctx, room, 5, 10)
		check(len(seqs), err, 10)
		ps, err := st.Positions(ctx, room, 5, 10)
		check(len(ps), err, 10)
	}
	es, err := st.Recent(ctx, quiet, 0, time.UnixMilli(last), 1000)
	check(len(es), err, 0)
	es, err = st.Log(ctx, quiet, last/2, 10)
	check(len(es), err, 0)
	ps, err := st.Positions(ctx, sip.AoR{}, 5, 10)
	check(len(ps), err, 10)
	seq, err := st.LastBefore(ctx, time.UnixMilli(5))
	check(int(seq), err, 4)
	ps, err = st.Oldest(ctx, time.Time{}, time.UnixMilli(9), 3)
	check(len(ps), err, 3)
	check(0, st.DeleteEntries(ctx, seqsOf(ps)), 0)
	apply(t, st, imc.Change{Room: imc.Room{AoR: busy}, Put: []imc.Member{{User: bob}, {User: alice, Role: imc.Banned}}, Remove: []sip.AoR{alice}})
	appendTo(t, st, busy, "hello")
	check(0, st.SaveCursors(ctx, []imc.Cursor{{Room: busy, User: bob, Seq: 5, Seen: noon}}), 0)
	for _, room := range []sip.AoR{quiet, gone} {
		for done, i := false, 0; !done && i < 5; i++ {
			if done, err = st.Erase(ctx, room, 50); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkRoomPlan is checkPlan for the tables of rooms. The writer reads with the hints of byIndex.
func checkRoomPlan(t *testing.T, db *DB, engine, text string, args []any) {
	t.Helper()
	conn, err := db.reader.pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	explain := "EXPLAIN "
	if engine == "sqlite" {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := conn.QueryContext(t.Context(), explain+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	names, _ := rows.Columns()
	for rows.Next() {
		values := make([]any, len(names))
		ptrs := make([]any, len(names))
		for i := range values {
			ptrs[i] = &values[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		line := ""
		for i, v := range values {
			row[names[i]] = asText(v)
			line += names[i] + "=" + asText(v) + " "
		}
		ofRoom := strings.Contains(text, "seq ASC LIMIT") || strings.Contains(text, "seq DESC LIMIT")
		bad := false
		switch engine {
		case "sqlite":
			d := row["detail"]
			bad = strings.HasPrefix(d, "SCAN ") && !strings.Contains(d, "json_each") || strings.Contains(d, "TEMP B-TREE") ||
				ofRoom && !strings.Contains(d, "silod_room_log_room_idx")
		case "postgres":
			plan := row["QUERY PLAN"]
			bad = strings.Contains(plan, "Seq Scan") && !withHint(text) || strings.Contains(plan, "Sort Key") && !strings.Contains(text, "BY username") ||
				ofRoom && strings.Contains(plan, "Index Scan") && !strings.Contains(plan, "silod_room_log_room_idx")
		case "mariadb":
			bad = (row["type"] == "ALL" || row["type"] == "index" && ofRoom) && asInt(row["rows"]) > 1000 || strings.Contains(row["Extra"], "filesort")
		}
		if bad {
			t.Errorf("%s %v\nscans or sorts: %s", text, args, line)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// withHint reports whether a statement runs after session.byIndex, without which PostgreSQL may
// scan a table where one room has most members.
func withHint(text string) bool {
	return strings.Contains(text, "FROM imc_members WHERE room = $1 LIMIT") || strings.Contains(text, "SELECT 1 FROM imc_members")
}
