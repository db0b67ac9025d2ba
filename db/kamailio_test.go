package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/im"
	"silod/imc"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
)

// prepared returns a database that another program has filled.
func (e engine) prepared(t testing.TB, statements ...string) (url string) {
	t.Helper()
	url = e.fresh(t)
	filled(t, url, statements...)
	return url
}

// filled runs statements on a database before silod opens it.
func filled(t testing.TB, url string, statements ...string) {
	t.Helper()
	bare, err := newDB(url, Options{}, false)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := bare.layout.dialect.connect(t.Context(), forSchema)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDB(t, bare)
	defer pool.Close()
	for _, st := range statements {
		if _, err := pool.ExecContext(t.Context(), st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

// fixture returns the statements of a database of a version of Kamailio.
func fixture(t testing.TB, version, engine string) []string {
	t.Helper()
	if engine == "mariadb" {
		engine = "mysql"
	}
	data, err := os.ReadFile(filepath.Join("testdata", "kamailio-silo"+version+"."+engine+".sql"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(strings.TrimSpace(string(data)), ";"), ";\n")
}

var kamailioTables = []string{"version", "silo", "imc_rooms", "imc_members", "location"}

// shape returns the columns of a Kamailio table, which silod must not change.
func shape(t testing.TB, db *DB, table string) string {
	t.Helper()
	cols, err := db.layout.dialect.columns(t.Context(), db.reader.pool, table)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for name, c := range cols {
		out = append(out, fmt.Sprintf("%s %+v", name, c))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// TestKamailioInPlace: silod uses a database of any version of Kamailio as it is.
func TestKamailioInPlace(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		for _, version := range []string{"5", "7", "8", "mid"} {
			t.Run(e.name+"/silo "+version, func(t *testing.T) {
				t.Parallel()
				url := e.prepared(t, fixture(t, version, e.name)...)
				before := map[string]string{}
				for run := range 2 { // also at the second start
					db := open(t, url, Options{Domains: sip.NewDomains("example.org")})
					for _, table := range kamailioTables {
						if s := shape(t, db, table); run == 0 {
							before[table] = s
						} else if s != before[table] {
							t.Errorf("table %s has become\n%s", table, s)
						}
					}
					checkVersions(t, db, version)
					if run == 0 {
						kamailioMessages(t, db, version)
						kamailioBindings(t, db, version)
					}
					kamailioRooms(t, db)
					closeDB(t, db)
				}
			})
		}
	}
}

func checkVersions(t *testing.T, db *DB, version string) {
	t.Helper()
	got, err := (&inspection{layout: &db.layout, pool: db.writer.pool}).versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"5": 5, "7": 7, "8": 8, "mid": 8}[version]
	if got["silo"] != want || got["imc_rooms"] != 1 {
		t.Errorf("version rows: %v", got)
	}
}

func kamailioMessages(t *testing.T, db *DB, version string) {
	t.Helper()
	st := db.Messages()
	ms := next(t, st, 0, 10)
	if len(ms) != 2 {
		t.Fatalf("%d messages", len(ms))
	}
	want := im.Message{
		From: "<sip:alice@example.org>", To: "<sip:bob@example.org>",
		Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte("hello \xff\x00"),
	}
	if version != "5" {
		want.Headers = append(want.Headers, sip.Header{Name: "X-Foo", Value: `bar\baz`},
			sip.Header{Name: "P-Asserted-Identity", Value: "<sip:alice@example.org>"})
	}
	if !reflect.DeepEqual(ms[0].Message, want) || !ms[0].Stored.Equal(noon) || ms[0].Owner != bob {
		t.Errorf("\n got %+v\nwant %+v", ms[0], want)
	}
	if ms[1].Header("Content-Type") != "text/html" || !ms[1].Expires.IsZero() {
		t.Errorf("the second: %+v", ms[1])
	}
	due, err := st.Due(t.Context(), noon.Add(time.Hour), nil, 10)
	if err != nil || bodies(due) != "remind me" {
		t.Errorf("Due = %v, %v", due, err)
	}

	// silod's messages are stored beside them and read unchanged.
	ours := text("ours")
	ours.From = `"Älice" <sip:alice@example.org>;tag=1`
	ours.Headers = append(ours.Headers, sip.Header{Name: "X-Own", Value: "\xff"}, sip.Header{Name: "Subject", Value: "ü"})
	long := text("long")
	long.Headers = append(long.Headers, sip.Header{Name: "X-Long", Value: strings.Repeat("x", 2000)}, sip.Header{Name: "X-Own", Value: "y"})
	add(t, st, ours, long)
	for _, m := range []*silo.Message{ours, long} {
		got, err := st.Get(t.Context(), m.ID)
		if err != nil || !reflect.DeepEqual(got.Message, m.Message) {
			t.Errorf("\n got %+v, %v\nwant %+v", got.Message, err, m.Message)
		}
	}
	for _, m := range append(ms, *ours, *long) {
		remove(t, st, m.ID)
	}
	again := text("again")
	add(t, st, again)
	if again.ID <= long.ID {
		t.Errorf("ID %d is given again after %d", again.ID, long.ID)
	}
	if _, err := st.SetAside(t.Context(), again.ID, "why", nil); err != nil {
		t.Error(err)
	}
	remove(t, st, again.ID)
}

func kamailioBindings(t *testing.T, db *DB, version string) {
	t.Helper()
	st := db.Bindings()
	got := loadBindings(t, st, noon)
	want := 1
	if version == "5" {
		want = 0 // that version's table has no key: silod has a table of its own
	} else {
		c := got["uloc-1-5b-1"]
		b := c.Binding
		if c.AoR != bob || b.Contact != "sip:bob@10.0.0.9:5062" || b.Q != 1 || b.CallID != "reg1@10.0.0.9" || b.CSeq != 2 ||
			b.Flow != flow("udp:192.0.2.5:5060>203.0.113.7:40000") || !strings.Contains(b.Methods, "MESSAGE") || b.Expires.Year() != 2111 {
			t.Errorf("Kamailio's binding: %+v", c)
		}
	}
	save(t, st, simpleBinding("silod-1"))
	if got = loadBindings(t, st, noon); len(got) != want+1 || !reflect.DeepEqual(got["silod-1"], simpleBinding("silod-1")) {
		t.Errorf("with ours: %+v", got)
	}
	save(t, st, registrar.Change{Removed: true, Binding: registrar.Binding{RUID: "silod-1"}})
}

func kamailioRooms(t *testing.T, db *DB) {
	t.Helper()
	st := db.Rooms()
	got := loadRooms(t, st)[room1]
	want := loaded{imc.Room{AoR: room1, Private: true}, map[sip.AoR]imc.Member{
		alice: {User: alice, Role: imc.Owner}, bob: {User: bob, Role: imc.Plain},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	other := imc.Room{AoR: aor("chat-2@example.org")}
	apply(t, st, imc.Change{Room: other, Put: []imc.Member{{User: bob, Role: imc.Owner, Cursor: 7}}})
	if got := loadRooms(t, st); got[other.AoR].Members[bob].Cursor != 7 {
		t.Errorf("our room: %+v", got)
	}
	erase(t, st, other.AoR)
}

// TestKamailioReads: silod writes rows as Kamailio would, as far as Kamailio's columns
// allow.
func TestKamailioReads(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{})
			m := text("body\x00\xff")
			m.Headers = []sip.Header{
				{Name: "Content-Type", Value: "text/plain;charset=utf-8"},
				{Name: "Subject", Value: "s"},
				{Name: "X-Foo", Value: `bar\baz`},
				{Name: "X-Long", Value: strings.Repeat("x", 700)},
				{Name: "P-Asserted-Identity", Value: "<sip:a@b>"},
				{Name: "X-Too-Long", Value: strings.Repeat("x", 300)},
			}
			add(t, db.Messages(), m)
			row := struct {
				src, dst, user, domain, ctype, callid string
				body, headers                         []byte
				inc, exp, snd                         int64
			}{}
			err := db.reader.pool.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT src_addr, dst_addr, username, domain, ctype, callid, body, extra_hdrs,
				inc_time, exp_time, snd_time FROM silo WHERE id = %d`, m.ID)).Scan(&row.src, &row.dst, &row.user, &row.domain, &row.ctype, &row.callid,
				&row.body, &row.headers, &row.inc, &row.exp, &row.snd)
			if err != nil {
				t.Fatal(err)
			}
			if row.src != m.Src || row.dst != m.Dst || row.user != "bob" || row.domain != "example.org" || row.ctype != "text/plain" ||
				row.callid != "c1@host" || string(row.body) != "body\x00\xff" || row.inc != noon.Unix() || row.exp != noon.Unix()+3600 || row.snd != 0 {
				t.Errorf("row: %+v", row)
			}
			headers := string(row.headers)
			if e.name == "postgres" { // Kamailio reads this column through PQunescapeBytea
				if !strings.HasPrefix(headers, `\x`) {
					t.Errorf("extra_hdrs is not in bytea's form: %q", headers)
				}
				headers = string(db.layout.dialect.decodeHeaders(row.headers))
			}
			if want := "X-Foo: bar\\baz\r\nX-Long: " + strings.Repeat("x", 700) + "\r\nP-Asserted-Identity: <sip:a@b>\r\n"; headers != want {
				t.Errorf("extra_hdrs = %q, want %q", headers, want)
			}
			var kind string
			if e.name == "sqlite" {
				if kind = fmt.Sprint(rawValue(t, db, "SELECT typeof(extra_hdrs) || typeof(body) FROM silo WHERE ctype = 'text/plain'")); kind != "blobblob" {
					t.Errorf("storage classes: %s", kind)
				}
			}
		})
	}
}

// TestForgedHeader: a header field that a sender adds through Kamailio is not taken for
// one of silod.
func TestForgedHeader(t *testing.T) {
	t.Parallel()
	block := "X-Silod-From: \"Boss\" <sip:boss@example.org>;tag=1\r\nX-Foo: a\r\n"
	m := decodeBlock(block, columnValuesOf("sip:mallory@example.org", "sip:bob@example.org", "", "text/plain"), false)
	if m.From != "<sip:mallory@example.org>" {
		t.Errorf("From = %s", m.From)
	}
}

// TestRenamed: db_table, rooms_table, members_table and sc_* name tables and columns,
// both of new databases and of existing ones.
func TestRenamed(t *testing.T) {
	t.Parallel()
	names := SiloNames{ID: "mid", From: "s", To: "d", User: "u", Host: "h", Body: "b", CType: "ct", Exp: "et", Inc: "it", Snd: "st", Headers: "eh", CallID: "ci"}
	for _, e := range append([]engine{textEngine}, engines...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			for range 2 {
				db := open(t, url, Options{SiloTable: "mysilo", Silo: names, RoomsTable: "myrooms", MembersTable: "mymembers"})
				m := text("x")
				m.Headers = append(m.Headers, sip.Header{Name: "X", Value: strings.Repeat("x", 1000)})
				add(t, db.Messages(), m)
				if ms := next(t, db.Messages(), m.ID-1, 10); len(ms) != 1 || !reflect.DeepEqual(ms[0].Message, m.Message) {
					t.Errorf("got %+v", ms)
				}
				apply(t, db.Rooms(), imc.Change{Room: imc.Room{AoR: room1}, Put: []imc.Member{{User: bob, Role: imc.Owner}}})
				if len(loadRooms(t, db.Rooms())) != 1 {
					t.Error("no room")
				}
				if n := rawValue(t, db, "SELECT COUNT(*) FROM mysilo WHERE mid > 0 AND u = 'bob'"); fmt.Sprint(asInt(n)) == "0" {
					t.Error("the row is elsewhere")
				}
				closeDB(t, db)
			}
		})
	}
}

// TestStartTogether: several daemons start on an empty database at the same time.
func TestStartTogether(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		if e.name == "sqlite" {
			continue // one daemon only, see TestOpenTwice
		}
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			errs := make(chan error, 6)
			for range cap(errs) {
				go func() {
					db, err := Open(context.Background(), url, Options{})
					if err == nil {
						err = errors.Join(db.Messages().Add(context.Background(), text("x")), db.Close())
					}
					errs <- err
				}()
			}
			for range cap(errs) {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if n := len(next(t, open(t, url, Options{}).Messages(), 0, 100)); n != cap(errs) {
				t.Errorf("%d messages", n)
			}
		})
	}
}

// TestMailboxesByCase: MySQL's collation compares "Bob" and "bob" as equal; mailboxes do
// not.
func TestMailboxesByCase(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{})
			st := db.Messages()
			owners := []sip.AoR{aor("dora@example.org"), aor("DORA@example.org"), aor("Dora@example.org")}
			for _, a := range owners {
				m := text(a.User)
				m.Owner = a
				add(t, st, m)
			}
			for _, a := range owners {
				ms, err := st.Next(t.Context(), a, nil, 0, 10, noon)
				if err != nil || bodies(ms) != a.User {
					t.Errorf("%s has %q, %v", a, bodies(ms), err)
				}
				if n, err := count(t, st, a); n != 1 || err != nil {
					t.Errorf("%s has %d, %v", a, n, err)
				}
			}
			var waiting []sip.AoR
			if err := st.Waiting(t.Context(), noon, func(a sip.AoR) { waiting = append(waiting, a) }); err != nil {
				t.Fatal(err)
			}
			for _, a := range append(owners, bob) {
				if !slices.Contains(waiting, a) {
					t.Errorf("%s is not among %v", a, waiting)
				}
			}
			if n, err := st.Purge(t.Context(), silo.Query{Owner: owners[0]}, 10); n != 1 || err != nil {
				t.Errorf("Purge = %d, %v", n, err)
			}
			if n, err := st.Owners(t.Context()); err != nil || n != 3 {
				t.Errorf("Owners = %d, %v", n, err)
			}
		})
	}
}
