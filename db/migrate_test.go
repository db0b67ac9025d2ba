package db

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"silod/sip"
)

// ownFixture returns the statements of an earlier silod's own tables, with Kamailio's
// tables. The files are frozen: a new version gets a new file.
func ownFixture(t testing.TB, version int, engine string) []string {
	t.Helper()
	if engine == "mariadb" {
		engine = "mysql"
	}
	data, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("silod-%03d.%s.sql", version, engine)))
	if err != nil {
		t.Fatal(err)
	}
	return append(fixture(t, "8", engine), strings.Split(strings.TrimSuffix(strings.TrimSpace(string(data)), ";"), ";\n")...)
}

// TestOldSchemas: a database of an earlier silod is migrated and keeps its rows.
func TestOldSchemas(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		for _, version := range []int{1, 2, 3, 5} {
			t.Run(fmt.Sprint(e.name, "/", version), func(t *testing.T) {
				t.Parallel()
				url := e.prepared(t, ownFixture(t, version, e.name)...)
				created, err := Init(t.Context(), url, Options{})
				if err != nil {
					t.Fatal(err)
				}
				want := []string{}
				for v := int64(version) + 1; v <= 6; v++ {
					want = append(want, fmt.Sprint("version of silod's own tables ", v))
				}
				created = slices.DeleteFunc(created, func(s string) bool { return !strings.HasPrefix(s, "version") })
				if !slices.Equal(created, want) {
					t.Errorf("created %q, want %q", created, want)
				}
				db := open(t, url, Options{Domains: sip.NewDomains("example.org")})
				if db.layout.createdTables != nil {
					t.Errorf("opening created %q again", db.layout.createdTables)
				}
				ms := next(t, db.Messages(), 0, 10)
				if len(ms) != 1 || ms[0].CallID != "kept" || ms[0].From != `"A" <sip:alice@example.org>;tag=1` {
					t.Errorf("messages: %+v", ms)
				}
				if got := db.messages.hasCopies.Load(); got != (version >= 2) {
					t.Errorf("device copies: %v", got)
				}
				es, err := db.Rooms().Log(t.Context(), room1, 0, 10)
				if err != nil || len(es) != 1 || string(es[0].Body) != "said before" {
					t.Errorf("log: %+v, %v", es, err)
				}
				if rooms := loadRooms(t, db.Rooms()); !strings.Contains(fmt.Sprintf("%+v", rooms), "weather") {
					t.Errorf("rooms: %+v", rooms)
				}
				add(t, db.Messages(), text("after"))
			})
		}
	}
}

// TestManyStartAtOnce: several daemons that start on one empty database, or on one of
// Kamailio, create its schema together.
func TestManyStartAtOnce(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] { // an SQLite file belongs to one daemon
		for _, kamailio := range []bool{false, true} {
			for _, lock := range []bool{true, false} { // a cluster may have no lock across its servers
				if !lock && e.name == "postgres" {
					continue // creates its schema in one transaction, under a lock of its own
				}
				t.Run(fmt.Sprintf("%s/kamailio=%v/lock=%v", e.name, kamailio, lock), func(t *testing.T) {
					t.Parallel()
					url := e.fresh(t)
					if kamailio {
						filled(t, url, fixture(t, "8", e.name)...)
					}
					startTogether(t, url, lock)
					found, err := Check(t.Context(), url, Options{})
					if err != nil {
						t.Fatal(err)
					}
					for _, f := range found {
						if f.Problem != "" && f.Table != "subscriber" {
							t.Errorf("%+v", f)
						}
					}
					db := open(t, url, Options{})
					if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_schema")); n != db.layout.newestVersion() {
						t.Errorf("%d versions", n)
					}
					for _, table := range []string{"silo", "location", "imc_rooms"} {
						if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM version WHERE table_name = '"+table+"'")); n != 1 {
							t.Errorf("%d version rows of table %s", n, table)
						}
					}
				})
			}
		}
	}
}

// startTogether opens a database eight times at once and stores a message through each.
func startTogether(t *testing.T, url string, lock bool) {
	t.Helper()
	var group sync.WaitGroup
	gate := make(chan struct{})
	for range 8 {
		group.Go(func() {
			db, err := newDB(url, Options{}, false)
			if err != nil {
				t.Error(err)
				return
			}
			defer closeDB(t, db)
			if !lock {
				db.layout.fragments.schemaBegin = db.layout.fragments.schemaBegin[1:]
			}
			<-gate
			if err := db.open(t.Context(), &Options{}); err != nil {
				t.Error(err)
				return
			}
			add(t, db.Messages(), text("one of eight"))
		})
	}
	close(gate)
	group.Wait()
}

// TestSQLiteOneDaemon: of several daemons that start on one file, one opens it, and the
// others name that one.
func TestSQLiteOneDaemon(t *testing.T) {
	t.Parallel()
	url := engines[0].fresh(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	var got []*DB
	for range 8 {
		group.Go(func() {
			db, err := Open(t.Context(), url, Options{})
			if err != nil {
				if !strings.Contains(err.Error(), "in use by") {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got = append(got, db)
		})
	}
	group.Wait()
	if len(got) != 1 {
		t.Errorf("%d have it", len(got))
	}
	for _, db := range got {
		closeDB(t, db)
	}
	for _, name := range []string{"one", "two"} { // one after the other
		db := open(t, url, Options{})
		add(t, db.Messages(), text(name))
		closeDB(t, db)
	}
}

// TestCheck: the check of a Kamailio database changes nothing, and reports the parts that
// Migrate would add or that are missing later.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			statements := append(fixture(t, "8", e.name), "CREATE TABLE location_attrs (id INTEGER)")
			url := e.prepared(t, statements...)
			problems(t, url, "silod_schema: silod's own tables are missing: `siloctl db init`", "subscriber: table subscriber is missing: `siloctl db init`")
			if _, err := Migrate(t.Context(), url, Options{}); err == nil || !strings.Contains(err.Error(), "table subscriber is missing: `siloctl db init`") {
				t.Errorf("migrated without a table: %v", err)
			}
			if _, err := Init(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			problems(t, url)
			if created, err := Init(t.Context(), url, Options{}); err != nil || created != nil {
				t.Errorf("created %q, %v", created, err)
			}
			drop := "DROP INDEX silod_silo_exp_idx"
			if e.name == "mariadb" {
				drop += " ON silo"
			}
			filled(t, url, drop, "DELETE FROM silod_schema WHERE version = 6")
			problems(t, url, "silod_schema: silod's own tables have version 5, this silod needs 6: `siloctl db migrate`",
				"index silod_silo_exp_idx: missing, large mailboxes are slow: `siloctl db migrate`")
			if created, err := Migrate(t.Context(), url, Options{}); err != nil || len(created) != 2 {
				t.Errorf("created %q, %v", created, err)
			}
			filled(t, url, "INSERT INTO silod_copy (source, at) VALUES ('sqlite:/old.db', 0)", "UPDATE version SET table_version = 77 WHERE table_name = 'imc_rooms'")
			problems(t, url, "imc_rooms: table imc_rooms has version 77", "silod_schema: ", "holds an incomplete copy of sqlite:/old.db")
		})
	}
}

// TestMyISAM: a table of an engine that is not durable is reported.
func TestMyISAM(t *testing.T) {
	t.Parallel()
	url := engines[2].fresh(t)
	if _, err := Init(t.Context(), url, Options{}); err != nil {
		t.Fatal(err)
	}
	filled(t, url, "ALTER TABLE imc_rooms ENGINE=MyISAM")
	found, err := Check(t.Context(), url, Options{})
	if err != nil || len(found) < 2 {
		t.Fatal(found, err)
	}
	want := "table imc_rooms is of the storage engine MyISAM, which keeps no promise when the server dies: ALTER TABLE imc_rooms ENGINE=InnoDB"
	if found[1].Problem != want || found[0].Problem != "" {
		t.Errorf("found %+v", found)
	}
	var log bytes.Buffer
	closeDB(t, open(t, url, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}))
	if !strings.Contains(log.String(), want) {
		t.Errorf("log: %s", log.String())
	}
}

// problems checks a database and compares the reported problems.
func problems(t *testing.T, url string, want ...string) {
	t.Helper()
	found, err := Check(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 6 || found[0].Table != "silo" || found[0].Version != 8 || found[0].Rows != 3 {
		t.Errorf("found %+v", found)
	}
	var all []string
	for _, f := range found {
		if f.Problem != "" {
			all = append(all, f.Table+": "+f.Problem)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, w) }) {
			t.Errorf("%q is not reported in\n%s", w, strings.Join(all, "\n"))
		}
	}
	if len(want) == 0 && len(all) > 0 {
		t.Errorf("reported problems:\n%s", strings.Join(all, "\n"))
	}
}

// TestTableChangesUnderneath: when a column is widened while silod runs, reads and writes
// with prepared statements continue.
func TestTableChangesUnderneath(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			add(t, db.Messages(), text("before"))
			for i, change := range []string{"ctype VARCHAR(64)", "callid VARCHAR(200)"} {
				change, column := "ALTER TABLE silo MODIFY "+change+" NOT NULL", strings.Fields(change)
				if e.name == "postgres" {
					change = "ALTER TABLE silo ALTER COLUMN " + column[0] + " TYPE " + column[1]
				}
				rawExec(t, db, change)
				if got := len(next(t, db.Messages(), 0, 10)); got != i+1 {
					t.Errorf("%d messages after %s", got, change)
				}
				add(t, db.Messages(), text("after"))
				if _, err := db.Messages().Expire(t.Context(), noon, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
