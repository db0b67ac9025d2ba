package db

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// unconstrained returns an open database with Kamailio's tables, in which every column but the
// number may hold NULL, as schemas of other origin have them.
func unconstrained(t *testing.T, e engine) *DB {
	t.Helper()
	url := e.fresh(t)
	bare, err := newDB(url, Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := bare.layout.dialect.connect(t.Context(), forSchema)
	if err != nil {
		t.Fatal(err)
	}
	if err := bare.layout.nameTables(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	list := bare.layout.statements("kamailio.sql")
	pool.Close()
	closeDB(t, bare)
	for i, st := range list {
		list[i] = strings.ReplaceAll(strings.ReplaceAll(st, "PRIMARY KEY NOT NULL", "PRIMARY KEY"), " NOT NULL", "")
	}
	filled(t, url, append(list, `CREATE TABLE dbaliases (alias_username VARCHAR(64), alias_domain VARCHAR(64),
		username VARCHAR(64), domain VARCHAR(64))`)...)
	return open(t, url, Options{Domains: sip.NewDomains("example.org"), Now: func() time.Time { return noon }})
}

// columnsOf returns the names of a table's columns but the number.
func columnsOf(t *testing.T, db *DB, table string) []string {
	t.Helper()
	info, err := db.layout.dialect.columns(t.Context(), db.reader.pool, table)
	if err != nil || len(info) == 0 {
		t.Fatalf("columns of %s: %v, %v", table, info, err)
	}
	delete(info, "id")
	return slices.Sorted(maps.Keys(info))
}

// TestNullMessages: a row of silo with NULL in one column, or with a value of another type, does not
// keep the others from being used, and is used itself.
func TestNullMessages(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			var set []string
			for _, c := range columnsOf(t, db, "silo") {
				set = append(set, c+" = NULL")
			}
			set = append(set, "inc_time = -5", "exp_time = -1", "callid = ''", "exp_time = 2147483647", "inc_time = 2147483647")
			if e.name == "sqlite" {
				set = append(set, "inc_time = 'noon'", "exp_time = 'never'", "status = 'x'", "callid = x'ff'", "ctype = 5", "body = 5.5",
					"src_addr = x'ff00'", "extra_hdrs = 7", "inc_time = 1e300", "exp_time = 9223372036854775807")
			}
			for _, s := range set {
				nullMessage(t, db, s)
			}
		})
	}
}

// nullMessage stores three messages of bob, the second as another program does, and changes that.
func nullMessage(t *testing.T, db *DB, set string) {
	t.Helper()
	ctx, st := t.Context(), db.Messages()
	add(t, st, text("1"))
	insertAs(t, db, "bob", "example.org", "2")
	rawExec(t, db, "UPDATE silo SET "+set+" WHERE src_addr = 'sip:s@example.org'")
	add(t, st, text("3"))
	db.messages.spellings.reread()
	db.messages.spellings.looked.Store(0)
	all := "1 2 3"
	switch set {
	case "username = NULL":
		all = "1 3"
	case "body = NULL":
		all = "1  3"
	case "body = 5.5":
		all = "1 5.5 3"
	}
	ms, err := st.Next(ctx, bob, nil, 0, 10, noon)
	if err != nil || bodies(ms) != all {
		t.Fatalf("%s: waiting %q, %v", set, bodies(ms), err)
	}
	if set == "ctype = NULL" && ms[1].Header("Content-Type") != "text/plain" {
		t.Errorf("%s: %v", set, ms[1].Headers)
	}
	var listed []silo.Message
	for m, err := range st.List(ctx, silo.Query{}) {
		if err != nil {
			t.Fatalf("%s: list: %v", set, err)
		}
		listed = append(listed, m)
	}
	sum, err := st.Tally(ctx, silo.Query{})
	if err != nil || len(listed) != 3 || sum.Messages != 3 {
		t.Errorf("%s: %d listed, %+v, %v", set, len(listed), sum, err)
	}
	if n, err := st.Owners(ctx); err != nil || n != 1 {
		t.Errorf("%s: %d owners, %v", set, n, err)
	}
	waiting := map[sip.AoR]bool{}
	if err := st.Waiting(ctx, noon, func(a sip.AoR) { waiting[a] = true }); err != nil || !waiting[bob] {
		t.Errorf("%s: waiting: %v, %v", set, waiting, err)
	}
	use, err := st.Usage(ctx, bob, "", false)
	if err != nil || int(use.Messages) != len(ms) || use.Bytes < use.Messages*silo.Overhead {
		t.Errorf("%s: usage %+v, %v", set, use, err)
	}
	counted := int64(0)
	if err := st.UsageBySender(ctx, silo.Usage{}, func(_ string, u silo.Usage) { counted += u.Messages }); err != nil || counted != 3 {
		t.Errorf("%s: %d messages of senders, %v", set, counted, err)
	}
	everySender := silo.Query{From: "sip:alice@example.org", SameFrom: func(string) bool { return true }}
	if sum, err := st.Tally(ctx, everySender); err != nil || sum.Messages != 3 {
		t.Errorf("%s: of all senders: %+v, %v", set, sum, err)
	}
	odd := listed[1]
	for _, same := range []func(string) bool{nil, func(string) bool { return false }} {
		listedSender := silo.Query{From: odd.Src, SameFrom: same}
		if sum, err := st.Tally(ctx, listedSender); err != nil || sum.Messages != 1 {
			t.Errorf("%s: of the sender that is listed, %s: %+v, %v", set, odd.Src, sum, err)
		}
	}
	if found, err := st.SetAside(ctx, odd.ID, "488", nil); err != nil || !found {
		t.Errorf("%s: set aside: %v, %v", set, found, err)
	}
	if ms, err := st.Next(ctx, bob, nil, 0, 10, noon); err != nil || bodies(ms) != "1 3" {
		t.Errorf("%s: waiting after one was set aside: %q, %v", set, bodies(ms), err)
	}
	if found, err := st.Requeue(ctx, odd.ID); err != nil || !found {
		t.Errorf("%s: requeue: %v, %v", set, found, err)
	}
	if gone, err := st.Expire(ctx, noon, 10); err != nil || len(gone) > 0 {
		t.Errorf("%s: expired %v, %v", set, gone, err)
	}
	if n, err := st.Purge(ctx, silo.Query{Both: true}, 10); err != nil || n != 3 {
		t.Errorf("%s: purged %d, %v", set, n, err)
	}
}

// TestNullLocation: a row of location with NULL is used unless it names no user or address, or has
// no key or expiry.
func TestNullLocation(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			for _, c := range columnsOf(t, db, "location") {
				save(t, db.Bindings(), simpleBinding("silod-1-a"), simpleBinding("silod-1-b"), simpleBinding("silod-1-c"))
				rawExec(t, db, "UPDATE location SET "+columnName(e, c)+" = NULL WHERE ruid = 'silod-1-b'")
				used, skipped := 0, 0
				err := db.Bindings().Load(t.Context(), noon, func(a sip.AoR, _ registrar.Binding) {
					if used++; a != bob {
						t.Errorf("%s: %s", c, a)
					}
				}, func(string) {}, func(error) { skipped++ })
				if want := !slices.Contains([]string{"username", "contact", "ruid", "expires"}, c); err != nil || used+skipped != 3 || want != (used == 3) {
					t.Errorf("%s: %d used, %d skipped, %v", c, used, skipped, err)
				}
				rawExec(t, db, "DELETE FROM location")
			}
		})
	}
}

// columnName returns a column's name in a statement: "partition" is a reserved word of MySQL.
func columnName(e engine, c string) string {
	if e.name == "mariadb" {
		return "`" + c + "`"
	}
	return c
}

// TestNullRooms: the rooms and members of other rows are loaded.
func TestNullRooms(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			for _, table := range []string{"imc_rooms", "imc_members"} {
				for _, c := range columnsOf(t, db, table) {
					rawExec(t, db, "INSERT INTO imc_rooms (name, domain, flag) VALUES ('a', 'example.org', 0), ('b', 'example.org', 0)",
						`INSERT INTO imc_members (username, domain, room, flag) VALUES ('bob', 'example.org', 'sip:a@example.org', 1),
							('bob', 'example.org', 'sip:b@example.org', 1)`,
						"UPDATE "+table+" SET "+c+" = NULL WHERE id = (SELECT n FROM (SELECT MAX(id) AS n FROM "+table+") x)")
					var names []string
					err := db.Rooms().Load(t.Context(), func(r imc.Room, ms []imc.Member) {
						names = append(names, fmt.Sprint(r.AoR.User, len(ms)))
					}, func(error) {})
					want := []string{"a1", "b1"}
					switch table + "." + c {
					case "imc_rooms.name":
						want = []string{"a1"}
					case "imc_members.username", "imc_members.room":
						want = []string{"a1", "b0"}
					}
					if err != nil || !slices.Equal(names, want) {
						t.Errorf("%s.%s: %v, %v", table, c, names, err)
					}
					rawExec(t, db, "DELETE FROM imc_rooms", "DELETE FROM imc_members", "DELETE FROM silod_room")
				}
			}
		})
	}
}

// TestNullUsers: a user without a domain is one of the main domain, and can be changed and removed.
func TestNullUsers(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			for _, c := range columnsOf(t, db, "subscriber") {
				rawExec(t, db, `INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES
					('alice', 'example.org', 'p', 'h', 'b'), ('bob', 'example.org', 'p', 'h', 'b')`,
					"UPDATE subscriber SET "+c+" = NULL WHERE username = 'bob'")
				want := 2
				if c == "username" {
					want = 1
				}
				n := 0
				for _, err := range db.Users().Users(t.Context()) {
					if n++; err != nil {
						t.Fatalf("%s: %v", c, err)
					}
				}
				has, err := db.Users().Exists(t.Context(), bob)
				if err != nil || n != want || has != (want == 2) {
					t.Errorf("%s: %d users, bob: %v, %v", c, n, has, err)
				}
				if has {
					secret := lookup(t, db.Users(), bob)
					secret.Password = "new"
					if err := db.Users().SetSecret(t.Context(), bob, secret); err != nil || lookup(t, db.Users(), bob).Password != "new" {
						t.Errorf("%s: the password was not changed, %v", c, err)
					}
					if err := db.Users().RemoveUser(t.Context(), bob); err != nil {
						t.Errorf("%s: %v", c, err)
					}
					if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM subscriber")); n != 1 {
						t.Errorf("%s: %d rows after bob was removed", c, n)
					}
				}
				rawExec(t, db, "DELETE FROM subscriber")
			}
			for _, c := range columnsOf(t, db, "dbaliases") {
				rawExec(t, db, "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES ('al', 'example.org', 'bob', 'example.org')",
					"UPDATE dbaliases SET "+c+" = NULL", "INSERT INTO dbaliases (alias_username, alias_domain, username, domain) VALUES ('bo', 'example.org', 'bob', 'example.org')")
				for alias, want := range map[string]bool{"bo@example.org": true, "al@example.org": strings.Contains(c, "domain")} {
					if is, err := db.Users().Aliases(t.Context(), bob, aor(alias)); err != nil || is != want {
						t.Errorf("%s: %s is an alias: %v, %v", c, alias, is, err)
					}
				}
				rawExec(t, db, "DELETE FROM dbaliases")
			}
		})
	}
}

// TestNullVersions: a row of the table version without a value is none.
func TestNullVersions(t *testing.T) {
	t.Parallel()
	db := unconstrained(t, engines[0])
	rawExec(t, db, "INSERT INTO version (table_name, table_version) VALUES (NULL, NULL), ('x', NULL)")
	i := inspection{layout: &db.layout, pool: db.reader.pool, log: db.log}
	if v, err := i.versions(context.Background()); err != nil || v["version"] != 1 {
		t.Errorf("%v, %v", v, err)
	}
}

// TestScan: no row is read but through scan, which takes any value.
func TestScan(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") || f.Name() == "scan.go" {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if sel, ok := call.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Scan" && len(call.Args) > 0 {
					t.Errorf("%s: use scan", fset.Position(call.Pos()))
				}
			}
			return true
		})
	}
}

// TestCheckValues: a check tells of rows with NULL, and of those that are not used.
func TestCheckValues(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := unconstrained(t, e)
			add(t, db.Messages(), text("1"), text("2"), text("3"))
			rawExec(t, db, "UPDATE silo SET callid = NULL, username = NULL WHERE id = 1", "UPDATE silo SET snd_time = -1 WHERE id = 2",
				"INSERT INTO imc_members (username) VALUES ('bob')")
			want := map[string]string{
				"silo":        "1 rows without a user are not used: 1; 1 rows with NULL in username; 1 rows with NULL in callid; 1 rows with a negative snd_time are not used",
				"imc_members": "1 rows with NULL in domain; 1 rows with NULL in room; 1 rows with NULL in flag",
				"imc_rooms":   "",
			}
			if e.name == "sqlite" {
				rawExec(t, db, "UPDATE silo SET inc_time = 'noon' WHERE id = 3")
				want["silo"] = strings.Replace(want["silo"], "; 1 rows with a neg", "; 1 rows without a number in inc_time; 1 rows with a neg", 1)
			}
			url := db.url
			closeDB(t, db)
			found, err := Check(t.Context(), url, Options{Domains: sip.NewDomains("example.org")})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range found {
				if note, ok := want[f.Table]; ok && !strings.HasSuffix(f.Note, note) {
					t.Errorf("%s: %q, want %q", f.Table, f.Note, note)
				}
			}
		})
	}
}
