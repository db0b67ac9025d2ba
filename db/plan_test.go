package db

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// series are FROM clauses with the numbers n from 1 to 100,000.
var series = map[string]string{
	"sqlite":   "FROM (WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM g WHERE n < 100000) SELECT n FROM g) g",
	"postgres": "FROM generate_series(1, 100000) g(n)",
	"mariadb":  "FROM (SELECT seq AS n FROM seq_1_to_100000) g",
}

// TestPlans: in tables of 100,000 rows, every statement of a request uses an index.
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
				fmt.Sprintf(`INSERT INTO silod_device (silo_id, device, inc_time, refused) SELECT n, '<urn:uuid:1>', n, '' %s`, g),
				fmt.Sprintf(`INSERT INTO silod_meta (silo_id, headers, inc_time) SELECT n, '', n %s`, g),
				fmt.Sprintf(`INSERT INTO subscriber (username, domain, password) SELECT CONCAT('m', n), 'example.org', 'pw' %s`, g),
				fmt.Sprintf(`INSERT INTO silod_secret (username, domain, alg, ha1, ha1b, md5) SELECT CONCAT('m', n), 'example.org', 'SHA-256', 'x', 'x', 'x' %s`, g),
				fmt.Sprintf(`INSERT INTO location (ruid, username, domain, contact) SELECT %s, %s, 'example.org', 'sip:x@y' %s`, ruid, user, g),
			)
			for _, table := range []string{"silo", "silod_room_log", "imc_members", "silod_cursor", "location", "silod_device", "silod_meta", "subscriber", "silod_secret"} {
				analyze := "ANALYZE "
				if e.name == "mariadb" {
					analyze = "ANALYZE TABLE "
				}
				rawExec(t, db, analyze+table)
			}
			if err := db.messages.spellings.look(t.Context()); err != nil { // reads all, once
				t.Fatal(err)
			}
			var found []struct {
				text string
				args []any
			}
			db.layout.watch = func(text string, args []any) {
				found = append(found, struct {
					text string
					args []any
				}{text, args})
			}
			db.messages.hasCopies.Store(true)
			request(t, db)
			bulk(t, db)
			db.layout.watch = nil
			checked := map[string]bool{}
			for _, f := range found {
				if !checked[f.text] {
					checkPlan(t, db, e.name, f.text, f.args)
				}
				checked[f.text] = true
			}
			checkCovered(t, db, checked)
		})
	}
}

// request runs everything that requests and timers run.
func request(t *testing.T, db *DB) {
	t.Helper()
	ctx, st := t.Context(), db.Messages()
	now := time.Unix(1795262400+50, 0)
	check := func(n int, err error, want int) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("%d rows, %v; want %d", n, err, want)
		}
	}
	u1, u7 := aor("u1@example.org"), aor("u7@example.org")
	ms, err := st.Next(ctx, u1, nil, 0, 20, now)
	check(len(ms), err, 20)
	ms, err = st.Next(ctx, aor("nobody@example.org"), nil, 0, 20, now)
	check(len(ms), err, 0)
	ms, err = st.Next(ctx, u1, []string{"<urn:uuid:1>"}, 0, 20, now)
	check(len(ms), err, 0)
	ms, err = st.Next(ctx, u1, []string{"<urn:uuid:2>"}, 0, 20, now)
	check(len(ms), err, 20)
	ms, err = st.Next(ctx, u1, []string{"<urn:uuid:1>", "<urn:uuid:2>"}, 0, 20, now)
	check(len(ms), err, 20)
	n, err := count(t, st, u1)
	check(n, err, 0)
	totals, err := st.Tally(ctx, silo.Query{Owner: u1, From: "sip:a@example.org"})
	check(totals.Messages, err, 100)
	n, err = count(t, st, u7) // reminders only
	check(n, err, 0)
	ms, err = st.Due(ctx, now, nil, 20)
	check(len(ms), err, 0)
	_, err = st.Get(ctx, 5)
	check(0, err, 0)
	m := text("new")
	m.Headers = append(m.Headers, sip.Header{Name: "X-Long", Value: strings.Repeat("x", 1500)})
	add(t, st, m)
	_, err = st.SetAside(ctx, m.ID, "488 Not here", nil)
	check(0, err, 0)
	_, err = st.Requeue(ctx, m.ID)
	check(0, err, 0)
	remove(t, st, m.ID)
	marked := make(chan error, 1)
	st.Mark(6, []silo.Copy{{Device: "<urn:uuid:2>", Refused: ""}}, func(err error) { marked <- err })
	check(0, <-marked, 0)
	lookup(t, db.Users(), aor("m77@example.org"))
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
	es, err = rooms.Recent(ctx, room, 0, time.UnixMilli(1), 20)
	check(len(es), err, 20)
	apply(t, rooms, imc.Change{Room: imc.Room{AoR: room}, Put: []imc.Member{{User: bob}}})
	appendTo(t, rooms, room, "hello")
	check(0, rooms.SaveCursors(ctx, []imc.Cursor{{Room: room, User: bob, Seq: 5, Seen: now}}), 0)
	save(t, db.Bindings(), simpleBinding("r5"), registrar.Change{Removed: true, Binding: registrar.Binding{RUID: "r6"}})
	read := 0
	met := func(sip.AoR, registrar.Binding) { read++ }
	last, err := db.SharedBindings().Others(ctx, 5000, met, func(err error) { t.Error(err) })
	check(read, err, sliceRows)
	_, err = db.SharedBindings().Others(ctx, 1<<30, met, nil)
	check(int(last), err, 5000+sliceRows)
	check(0, db.SharedBindings().Rows(ctx, []string{"r7", "r8"}, met, nil), 0)
	_, err = db.SharedBindings().DeleteExpired(ctx, now.AddDate(10, 0, 0))
	check(0, err, 0)
}

// TestPlansOfAnEmptyTable: PostgreSQL plans a prepared statement for the size of the
// tables at that time. It must not scan a table that has grown since.
func TestPlansOfAnEmptyTable(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		if e.name != "postgres" {
			continue
		}
		db := open(t, e.fresh(t), Options{})
		rawExec(t, db, "ALTER TABLE location SET (autovacuum_enabled = false)")
		refresh := func() {
			var changes []registrar.Change
			for i := range 50 {
				changes = append(changes, simpleBinding(fmt.Sprint("r", i)))
			}
			save(t, db.Bindings(), changes...)
		}
		for range 10 { // PostgreSQL plans the first five with their values
			refresh()
		}
		rawExec(t, db, "INSERT INTO location (ruid, username, domain, contact) SELECT CONCAT('x', n), 'u', 'example.org', 'sip:x@y' "+series["postgres"])
		rawExec(t, db, "SELECT pg_stat_force_next_flush()")
		rows := func() (n int) {
			if err := db.reader.pool.QueryRow("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'location'").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := rows()
		for range 10 {
			refresh()
		}
		time.Sleep(1100 * time.Millisecond) // until the server process has reported its statistics
		refresh()
		time.Sleep(100 * time.Millisecond)
		if n := rows() - before; n > 50_000 {
			t.Errorf("%d rows were read to refresh 550", n)
		}
	}
}

// checkPlan reads the plan of a statement.
func checkPlan(t *testing.T, db *DB, engine, text string, args []any) {
	t.Helper()
	conn, err := db.reader.pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	explain := map[string]string{"sqlite": "EXPLAIN QUERY PLAN "}[engine]
	if explain == "" {
		explain = "EXPLAIN "
	}
	noScan(t, conn, engine, text, explain+text, args...)
	if engine != "postgres" || len(args) == 0 {
		return
	}
	// A prepared statement is planned without its values, sooner or later.
	if len(args) == 0 {
		return
	}
	none := strings.TrimSuffix(strings.Repeat("NULL,", len(args)), ",")
	for _, st := range []string{"SET plan_cache_mode = force_generic_plan", "PREPARE planned AS " + text} {
		if _, err := conn.ExecContext(t.Context(), st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
	noScan(t, conn, engine, text, "EXPLAIN EXECUTE planned("+none+")")
	if _, err := conn.ExecContext(t.Context(), "DEALLOCATE planned; RESET plan_cache_mode"); err != nil {
		t.Fatal(err)
	}
}

// noScan fails the test where a plan scans a table.
func noScan(t *testing.T, conn *sql.Conn, engine, text, explain string, args ...any) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), explain, args...)
	if err != nil {
		t.Fatalf("%s: %v", explain, err)
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
		for _, table := range []string{
			"silo", "s", "silod_room_log", "imc_members", "m", "silod_cursor", "c", "location", "l", "t",
			"silod_device", "silod_meta", "subscriber", "silod_secret", "d", "x0", "x1", "x2", "x3", "x4",
		} {
			switch engine {
			case "sqlite":
				bad = bad || row["detail"] == "SCAN "+table || strings.HasPrefix(row["detail"], "SCAN "+table+" ") && !strings.Contains(row["detail"], "INDEX")
			case "postgres":
				seq := row["QUERY PLAN"]
				bad = bad || strings.Contains(seq, "Seq Scan on "+table+" ")
			case "mariadb":
				bad = bad || row["table"] == table && (row["type"] == "ALL" || row["type"] == "index") && asInt(row["rows"]) > 1000
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
