package db

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"silod/silo"
)

// kamailioOnly are the tables of a Kamailio that has only the modules msilo and usrloc, as its
// scripts create them for PostgreSQL and MySQL, with the rows that it writes by default
// (use_domain=0) and rows that are no use.
var kamailioOnly = []string{
	`CREATE TABLE silo (id INTEGER PRIMARY KEY NOT NULL, src_addr VARCHAR(128) DEFAULT '' NOT NULL, dst_addr VARCHAR(128) DEFAULT '' NOT NULL,
		username VARCHAR(64) DEFAULT '' NOT NULL, domain VARCHAR(64) DEFAULT '' NOT NULL, inc_time INTEGER DEFAULT 0 NOT NULL,
		exp_time INTEGER DEFAULT 0 NOT NULL, snd_time INTEGER DEFAULT 0 NOT NULL, ctype VARCHAR(32) DEFAULT 'text/plain' NOT NULL, body %s)`,
	`CREATE TABLE location (id INTEGER PRIMARY KEY NOT NULL, ruid VARCHAR(64) DEFAULT '' NOT NULL, username VARCHAR(64) DEFAULT '' NOT NULL,
		domain VARCHAR(64) DEFAULT NULL, contact VARCHAR(512) DEFAULT '' NOT NULL, received VARCHAR(128) DEFAULT NULL, path VARCHAR(512) DEFAULT NULL,
		expires %s DEFAULT '2030-05-28 21:32:15' NOT NULL, q REAL DEFAULT 1.0 NOT NULL, callid VARCHAR(255) DEFAULT 'Default-Call-ID' NOT NULL,
		cseq INTEGER DEFAULT 1 NOT NULL, last_modified %s DEFAULT '2000-01-01 00:00:01' NOT NULL, flags INTEGER DEFAULT 0 NOT NULL,
		cflags INTEGER DEFAULT 0 NOT NULL, user_agent VARCHAR(255) DEFAULT '' NOT NULL)`,
	"INSERT INTO silo (id, src_addr, dst_addr, username, domain, inc_time, exp_time, body) VALUES (3, 'sip:a@b', 'sip:bob@b', 'bob', '', 1795262400, 1995262400, 'x')",
	"INSERT INTO location (id, ruid, username, contact) VALUES (1, 'u-1', 'bob', 'sip:bob@192.0.2.1'), (2, 'u-2', '', 'sip:x@y'), " +
		"(3, 'u-3', 'bob', 'tel:1'), (4, 'u-1', 'bob', 'sip:bob@192.0.2.4'), (5, 'u-5', 'bob', 'sip:bob@192.0.2.5')",
	"UPDATE location SET expires = %s, last_modified = %s",
}

// onlyFor returns the statements of kamailioOnly for an engine.
func onlyFor(e engine) []string {
	body, at, now := "BLOB", "TIMESTAMP WITHOUT TIME ZONE", "2461375.5"
	switch e.name {
	case "postgres":
		body, now = "BYTEA", "'2030-01-01 00:00:00'"
	case "mariadb":
		at, now = "DATETIME", "'2030-01-01 00:00:00'"
	}
	list := slices.Clone(kamailioOnly)
	list[0], list[1], list[4] = fmt.Sprintf(list[0], body), fmt.Sprintf(list[1], at, at), fmt.Sprintf(list[4], now, now)
	return list
}

// TestCopyFromKamailio: rows without a domain get one, rows of no use are told, and all others are
// copied, from a database with two tables of which the user may only read. Nothing is changed there.
func TestCopyFromKamailio(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.prepared(t, onlyFor(e)...)
			reader := strings.NewReplacer("root@", "onlyread@", "silod@", "onlyread@").Replace(url)
			switch e.name {
			case "postgres":
				filled(t, url, "DO $$ BEGIN CREATE ROLE onlyread LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$", "GRANT SELECT ON silo, location TO onlyread")
			case "mariadb":
				name := url[strings.LastIndexByte(url, '/')+1:]
				filled(t, url, "CREATE USER IF NOT EXISTS onlyread@'127.0.0.1'", "GRANT SELECT ON "+name+".* TO onlyread@'127.0.0.1'")
			}
			if e.name != "sqlite" && reader == url {
				t.Fatalf("no user in %s", url)
			}
			from, err := OpenSource(t.Context(), reader, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer closeDB(t, from)
			for _, st := range []string{"INSERT INTO silo (id) VALUES (99)", "CREATE TABLE silod_x (id INTEGER)"} {
				if _, err := from.reader.pool.ExecContext(t.Context(), st); err == nil {
					t.Errorf("the source takes %q", st)
				}
			}
			if e.name != "sqlite" { // its transaction has failed
				closeDB(t, from)
				if from, err = OpenSource(t.Context(), reader, Options{}); err != nil {
					t.Fatal(err)
				}
				defer closeDB(t, from)
			}
			to := open(t, engines[0].fresh(t), Options{})
			var passed []string
			err = Copy(t.Context(), from, to, CopyOptions{Domain: "example.org", Passed: func(p Passed) {
				passed = append(passed, fmt.Sprint(p.Table, " ", p.Rows, " ", p.Lost, " ", p.Reason))
			}})
			if err != nil {
				t.Fatal(err)
			}
			if len(passed) != 3 || !strings.Contains(passed[0], `location 1 false row "u-2" of location: no user name`) ||
				!strings.Contains(passed[1], `"tel:1" is not a SIP URI`) || !strings.Contains(passed[2], "another row has the same ruid") {
				t.Errorf("passed over: %q", passed)
			}
			if got := bodies(next(t, to.Messages(), 0, 10)); got != "x" {
				t.Errorf("messages: %q", got)
			}
			for ruid, ch := range loadBindings(t, to.Bindings(), noon) {
				if ch.AoR != bob {
					t.Errorf("contact %s of %s", ruid, ch.AoR)
				}
			}
			if n := asInt(rawValue(t, to, "SELECT COUNT(*) FROM location WHERE domain = 'example.org'")); n != 2 {
				t.Errorf("%d contacts", n)
			}
		})
	}
}

// TestCopyLeavesTheSource: neither the files of a source nor their directory change.
func TestCopyLeavesTheSource(t *testing.T) {
	t.Parallel()
	state := func(dir string) (out []string) {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := os.ReadFile(filepath.Join(dir, f.Name()))
			info, ierr := f.Info()
			if err != nil || ierr != nil {
				t.Fatal(err, ierr)
			}
			out = append(out, fmt.Sprint(f.Name(), info.Mode(), info.ModTime(), len(data), string(data)))
		}
		return out
	}
	for _, name := range []string{"rollback", "wal", "text"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			url := "sqlite:" + dir + "/kam.db"
			switch name {
			case "text":
				url = "text:" + dir
				files := map[string]string{
					"version": "id(int,auto) table_name(string) table_version(int) \n0:silo:8\n0:acc:5\n",
					"silo": "id(int,auto) src_addr(string) dst_addr(string) username(string) domain(string) inc_time(int) exp_time(int) snd_time(int) " +
						"ctype(string) body(string,null)\n4:sip\\:a@b:sip\\:bob@example.org:bob:example.org:1795262400:1995262400:0:text/plain:x\n",
					"acc": "id(int,auto) method(string) \n1:INVITE\n",
				}
				for name, text := range files {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			case "wal":
				filled(t, url, append([]string{"PRAGMA journal_mode = WAL"}, onlyFor(engines[0])...)...)
			default:
				filled(t, url, append(onlyFor(engines[0]), "PRAGMA journal_mode = DELETE")...)
			}
			os.Remove(filepath.Join(dir, "kam.db.lock"))
			os.Remove(filepath.Join(dir, ".silod.lock"))
			before := state(dir)
			from, err := OpenSource(t.Context(), url, Options{})
			if err != nil {
				t.Fatal(err)
			}
			to := open(t, engines[0].fresh(t), Options{})
			if err := Copy(t.Context(), from, to, CopyOptions{Domain: "example.org"}); err != nil {
				t.Fatal(err)
			}
			if during := state(dir); !reflect.DeepEqual(during, before) {
				t.Errorf("while it is open:\n got %q\nwant %q", during, before)
			}
			closeDB(t, from)
			if after := state(dir); !reflect.DeepEqual(after, before) {
				t.Errorf("\n got %q\nwant %q", after, before)
			}
			if got := bodies(next(t, to.Messages(), 0, 10)); got != "x" {
				t.Errorf("copied: %q", got)
			}
		})
	}
}

// TestCopySnapshot: rows that another program adds during a copy are not in it. Where the file
// tells only afterwards that there were some, the copy fails.
func TestCopySnapshot(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.prepared(t, onlyFor(e)...)
			from, err := OpenSource(t.Context(), url, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer closeDB(t, from)
			to := open(t, engines[0].fresh(t), Options{})
			first := true
			err = Copy(t.Context(), from, to, CopyOptions{Domain: "example.org", Report: func(p Progress) {
				if first && p.What == "messages" {
					first = false
					filled(t, url, "INSERT INTO silo (id, username, domain, exp_time) VALUES (4, 'bob', 'example.org', 1995262400)",
						"INSERT INTO location (id, ruid, username, contact) VALUES (9, 'u-9', 'bob', 'sip:bob@192.0.2.9')")
				}
			}})
			if e.name == "sqlite" {
				if err == nil || !strings.Contains(err.Error(), "it was changed during the copy") {
					t.Errorf("copied: %v", err)
				}
				return
			}
			if err != nil || len(next(t, to.Messages(), 0, 10)) != 1 || asInt(rawValue(t, to, "SELECT COUNT(*) FROM location")) != 2 {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestCopyNumbers: a number that the target's column cannot hold is told before anything is
// written.
func TestCopyNumbers(t *testing.T) {
	t.Parallel()
	from := open(t, engines[0].fresh(t), Options{})
	add(t, from.Messages(), text("x"))
	rawExec(t, from, "UPDATE silo SET id = 5000000000")
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			to := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{})
			rawExec(t, to, "DELETE FROM silo", "DELETE FROM location", "DELETE FROM imc_members", "DELETE FROM imc_rooms", "DELETE FROM subscriber")
			err := Copy(t.Context(), from, to, CopyOptions{})
			if e.name == "sqlite" {
				if ms := next(t, to.Messages(), 0, 10); err != nil || len(ms) != 1 || ms[0].ID != 5000000000 {
					t.Errorf("%v, %v", ms, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "numbers up to 5000000000, which column id of table silo") {
				t.Errorf("copied: %v", err)
			}
			if source, err := to.copyOf(t.Context()); err != nil || source != "" {
				t.Errorf("begun: %q, %v", source, err)
			}
		})
	}
}

// TestCopyDuplicates: of two users that the target takes for one, the second is passed over, also
// when an interrupted copy is continued.
func TestCopyDuplicates(t *testing.T) {
	t.Parallel()
	from := open(t, engines[0].fresh(t), Options{})
	rawExec(t, from, "INSERT INTO subscriber (username, domain, ha1) VALUES ('carl', '', '0'), ('bob', 'example.org', '1'), ('BOB', 'example.org', '2'), ('carl', 'example.org', '3')")
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			to := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{Unfinished: true})
			rawExec(t, to, "DELETE FROM silo", "DELETE FROM location", "DELETE FROM imc_members", "DELETE FROM imc_rooms", "DELETE FROM subscriber")
			want := map[string]int{"postgres": 1, "mariadb": 2}[e.name]
			if e.name == "mariadb" { // the table of the fixture ignores case, silod's own does not
				rawExec(t, to, "ALTER TABLE subscriber CONVERT TO CHARACTER SET latin1 COLLATE latin1_swedish_ci")
			}
			for range 2 {
				rawExec(t, to, "DELETE FROM silod_copy", fmt.Sprintf("INSERT INTO silod_copy (source, at) VALUES ('%s', 1)", from.name()))
				n, lost := 0, 0
				err := Copy(t.Context(), from, to, CopyOptions{Domain: "example.org", Passed: func(p Passed) {
					if p.Reason != "database cannot hold it: another row has the same key" {
						t.Error(p)
					}
					if n++; p.Lost {
						lost++
					}
				}})
				if got := asInt(rawValue(t, to, "SELECT MIN(ha1) FROM subscriber WHERE username = 'carl'")); err != nil || n != want || lost != want-1 || got != 3 {
					t.Errorf("%d passed over, %d lost, carl has %d: %v", n, lost, got, err)
				}
			}
		})
	}
}

// TestNullCopy: rows with NULL are copied.
func TestNullCopy(t *testing.T) {
	t.Parallel()
	for i, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			from, to := unconstrained(t, e), open(t, engines[(i+1)%len(engines)].fresh(t), Options{})
			n := 0
			for _, c := range columnsOf(t, from, "silo") {
				add(t, from.Messages(), text(c))
				rawExec(t, from, fmt.Sprintf("UPDATE silo SET %s = NULL WHERE id = (SELECT n FROM (SELECT MAX(id) AS n FROM silo) x)", c))
				n++
			}
			for _, table := range []string{"subscriber", "imc_rooms", "imc_members", "location"} {
				rawExec(t, from, "INSERT INTO "+table+" (id) VALUES (1)")
			}
			passed := 0
			if err := Copy(t.Context(), from, to, CopyOptions{Domain: "example.org", Passed: func(Passed) { passed++ }}); err != nil {
				t.Fatal(err)
			}
			total, err := to.Messages().Tally(t.Context(), silo.Query{Both: true})
			if err != nil || total.Messages != n || passed != 1 {
				t.Errorf("%+v of %d, %d passed over, %v", total, n, passed, err)
			}
		})
	}
}
