package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
)

// series selects the numbers n from 1 to 100,000.
var series = map[string]string{
	"sqlite":   "FROM (WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < 100000) SELECT n FROM g) g",
	"postgres": "FROM generate_series(1, 100000) g(n)",
	"mariadb":  "FROM (SELECT seq AS n FROM seq_1_to_100000) g",
}

// TestPlans: what is read for every request is found by an index, in tables of
// 100,000 rows.
func TestPlans(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			user, room, ruid := "CONCAT('u', n % 1000)", "CONCAT('sip:chat-', n % 1000, '@example.org')", "CONCAT('r', n)"
			g := series[e.name]
			if e.name == "sqlite" && raceDetector {
				g = strings.Replace(g, "100000", "10000", 1)
				user, room = strings.Replace(user, "1000", "100", 1), strings.Replace(room, "1000", "100", 1)
			}
			rawExec(t, db,
				fmt.Sprintf(`INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
					SELECT 'sip:a@example.org', 'sip:b@example.org', %s, 'example.org', n, 1795262400 + n, CASE WHEN %s = 'u7' THEN 1795262400 + n ELSE 0 END, 'text/plain', 'x' %s`, user, user, g),
				fmt.Sprintf(`INSERT INTO silod_room_log (room, from_user, from_domain, at, head, body) SELECT %s, 'a', 'b', n, '', 'x' %s`, room, g),
				fmt.Sprintf(`INSERT INTO imc_members (username, domain, room, flag) SELECT CONCAT('m', n), 'example.org', %s, 0 %s`, room, g),
				fmt.Sprintf(`INSERT INTO silod_cursor (room, username, domain, seq, seen) SELECT %s, CONCAT('m', n), 'example.org', n, 0 %s`, room, g),
				fmt.Sprintf(`INSERT INTO location (ruid, username, domain, contact) SELECT %s, %s, 'example.org', 'sip:x@y' %s`, ruid, user, g),
			)
			for _, table := range []string{"silo", "silod_room_log", "imc_members", "silod_cursor", "location"} {
				analyze := "ANALYZE "
				if e.name == "mariadb" {
					analyze = "ANALYZE TABLE "
				}
				rawExec(t, db, analyze+table)
			}
			var found []struct {
				text string
				args []any
			}
			db.watch = func(text string, args []any) {
				found = append(found, struct {
					text string
					args []any
				}{text, args})
			}
			request(t, db)
			if len(found) < 10 {
				t.Errorf("only %d statements were seen", len(found))
			}
			for _, f := range found {
				checkPlan(t, db, e.name, f.text, f.args)
			}
		})
	}
}

// request reads everything that is read for requests and by timers.
func request(t *testing.T, db *DB) {
	t.Helper()
	ctx, st := t.Context(), db.Silo()
	now := time.Unix(1795262400+50, 0)
	check := func(n int, err error, want int) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("%d rows, %v; want %d", n, err, want)
		}
	}
	u1, u7 := aor("u1@example.org"), aor("u7@example.org")
	ms, err := st.Next(ctx, u1, 0, 20, now)
	check(len(ms), err, 20)
	ms, err = st.Next(ctx, aor("nobody@example.org"), 0, 20, now)
	check(len(ms), err, 0)
	n, err := st.Count(ctx, u1)
	check(n, err, 100)
	n, err = st.Count(ctx, u7) // reminders only
	check(n, err, 0)
	ms, err = st.Due(ctx, now, 20)
	check(len(ms), err, 0)
	_, err = st.Get(ctx, 5)
	check(0, err, 0)
	ms, err = st.Expire(ctx, now, 20)
	check(len(ms), err, 20)
	for m, err := range st.List(ctx, silo.Query{Owner: u1, Limit: 20}) {
		if err != nil || m.Owner != u1 {
			t.Error(m, err)
		}
	}
	rooms, room := db.Rooms(), aor("chat-1@example.org")
	es, err := rooms.Log(ctx, room, 5000, 20)
	check(len(es), err, 20)
	es, err = rooms.Recent(ctx, room, time.UnixMilli(1), 20)
	check(len(es), err, 20)
	n, err = rooms.Purge(ctx, time.UnixMilli(5), true, 20)
	check(n, err, 4)
	apply(t, rooms, imc.Change{Room: imc.Room{AoR: room}, Put: []imc.Member{{User: bob}}})
	save(t, db.Locations(), simpleBinding("r5"), registrar.Change{Removed: true, Binding: registrar.Binding{RUID: "r6"}})
}

// checkPlan asks the engine how it would read.
func checkPlan(t *testing.T, db *DB, engine, text string, args []any) {
	t.Helper()
	explain := "EXPLAIN "
	if engine == "sqlite" {
		explain = "EXPLAIN QUERY PLAN "
	}
	rows, err := db.read.QueryContext(t.Context(), explain+text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	names, _ := rows.Columns()
	var plan []string
	bad := false
	for rows.Next() {
		values := make([]any, len(names))
		ptrs := make([]any, len(names))
		for i := range values {
			ptrs[i] = &values[i]
		}
		if err := rows.Scan(ptrs...); err != nil {
			t.Fatal(err)
		}
		line := ""
		row := map[string]string{}
		for i, v := range values {
			row[names[i]] = asText(v)
			line += names[i] + "=" + asText(v) + " "
		}
		plan = append(plan, line)
		for _, table := range []string{"silo", "s", "silod_room_log", "imc_members", "m", "silod_cursor", "c", "location", "l"} {
			switch engine {
			case "sqlite":
				bad = bad || strings.HasPrefix(row["detail"], "SCAN "+table) && !strings.Contains(row["detail"], "INDEX")
			case "postgres":
				bad = bad || strings.Contains(row["QUERY PLAN"], "Seq Scan on "+table+" ")
			case "mariadb":
				bad = bad || row["table"] == table && row["type"] == "ALL" && asInt(row["rows"]) > 1000
			}
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if bad {
		t.Errorf("%s\nscans a table:\n%s", text, strings.Join(plan, "\n"))
	}
}
