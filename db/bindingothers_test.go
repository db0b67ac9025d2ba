package db

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/registrar"
	"silod/sip"
)

// methodColumns are what Kamailio 5.6.3 wrote into the column methods for an Allow header field.
var methodColumns = map[string]int64{
	"INVITE": 1, "CANCEL": 2, "ACK": 4, "BYE": 8, "INFO": 16, "REGISTER": 32, "SUBSCRIBE": 64, "NOTIFY": 128, "MESSAGE": 256,
	"OPTIONS": 512, "PRACK": 1024, "UPDATE": 2048, "REFER": 4096, "PUBLISH": 8192, "KDMQ": 16384, "GET": 32768, "POST": 65536,
	"PUT": 131072, "DELETE": 262144, "X-OWN": 524288, "invite": 1,
	"INVITE, ACK, BYE, CANCEL, OPTIONS, NOTIFY, MESSAGE, SUBSCRIBE": 975,
}

func TestMethodBits(t *testing.T) {
	for list, want := range methodColumns {
		if got := methodMask(list); got != want {
			t.Errorf("%s: %v, want %d", list, got, want)
		}
		if got := methodMask(methodList(want)); got != want {
			t.Errorf("%s: the bits %d are read as %q", list, want, methodList(want))
		}
	}
	if methodMask("") != nil || methodList(nil) != "" {
		t.Error("no list is not NULL")
	}
}

// others reads the rows of other programs in slices, as far as they follow a row.
func others(t testing.TB, db *DB, after int64) (found, bad []string, last int64) {
	t.Helper()
	for {
		next, err := db.SharedBindings().Others(t.Context(), after, func(a sip.AoR, b registrar.Binding) {
			found = append(found, a.User+" "+b.RUID+" "+b.Contact)
		}, func(err error) { bad = append(bad, err.Error()) })
		if err != nil {
			t.Fatal(err)
		}
		if next <= after {
			return found, bad, after
		}
		after = next
	}
}

// insertLocation adds rows as another program does; values follow the user in its RUID.
func insertLocation(t testing.TB, db *DB, columns string, rows ...string) {
	t.Helper()
	for _, r := range rows {
		rawExec(t, db, "INSERT INTO location (ruid, username, "+columns+") VALUES ("+r+")")
	}
}

// TestOthers: the rows of other programs are found by their numbers and by their RUIDs, in any
// number, without those of silod.
func TestOthers(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st, shared := db.Bindings(), db.SharedBindings()
		if n, err := shared.LastRow(t.Context()); n != 0 || err != nil {
			t.Errorf("an empty table ends at %d, %v", n, err)
		}
		save(t, st, simpleBinding("silod-1"), simpleBinding("uloc-1"))
		var many []registrar.Change
		for i := range sliceRows {
			many = append(many, simpleBinding(fmt.Sprint("silod-x", i)))
		}
		for part := range slices.Chunk(many, 500) {
			save(t, st, part...)
		}
		middle, err := shared.LastRow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		late := simpleBinding("uloc-2")
		late.Binding.Methods = "X-OWN, MESSAGE" // has lines
		save(t, st, late)
		found, bad, last := others(t, db, 0)
		if want := "[bob uloc-1 sip:bob@192.0.2.1:5062 bob uloc-2 sip:bob@192.0.2.1:5062]"; fmt.Sprint(found) != want || bad != nil {
			t.Errorf("found %v, %v", found, bad)
		}
		if found, _, end := others(t, db, middle); len(found) != 1 || end != last {
			t.Errorf("after row %d: %v", middle, found)
		}
		var got []string
		err = shared.Rows(t.Context(), []string{"uloc-2", "uloc-3", "silod-1"}, func(_ sip.AoR, b registrar.Binding) {
			got = append(got, b.RUID+" "+b.Methods)
		}, func(err error) { t.Error(err) })
		if fmt.Sprint(got) != "[silod-1  uloc-2 X-OWN, MESSAGE]" || err != nil {
			t.Errorf("by RUID: %q, %v", got, err)
		}
	})
}

// TestDeleteExpired: rows that have expired are deleted with their lines, whoever wrote them;
// those that have just expired and permanent ones stay.
func TestDeleteExpired(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Bindings()
		for ruid, end := range map[string]time.Time{
			"silod-old": noon.Add(-time.Hour), "uloc-old": noon.Add(-100 * 24 * time.Hour), "uloc-just": noon.Add(-time.Minute),
			"uloc-now": noon.Add(time.Hour), "uloc-ever": time.Unix(0, 0), "uloc-zone": time.Unix(-7200, 0), "uloc-far": time.Unix(noExpiry, 0),
		} {
			c := simpleBinding(ruid)
			c.Binding.Expires, c.Binding.Methods = end, "X-OWN"
			save(t, st, c)
		}
		deleted := 0
		for {
			n, err := db.SharedBindings().DeleteExpired(t.Context(), noon.Add(-10*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			if deleted += n; n == 0 {
				break
			}
		}
		left := loadBindings(t, st, noon.Add(-2*time.Minute))
		if deleted != 2 || len(left) != 5 || fmt.Sprint(rawValue(t, db, "SELECT COUNT(*) FROM silod_binding")) != "5" {
			t.Errorf("%d rows were deleted, left are %v", deleted, left)
		}
		if got := left["uloc-zone"].Binding.Expires; got.Before(noon.Add(24 * time.Hour)) {
			t.Errorf("a permanent contact ends at %v", got)
		}
	})
}

// TestBadRows: an unexpected value makes one row unusable at most, and a number that is
// out of range counts as 0.
func TestBadRows(t *testing.T) {
	t.Parallel()
	const good = "'sip:good@192.0.2.1'"
	onEach(t, func(t *testing.T, db *DB) {
		expires := map[string]string{"sqlite": "2470000.5"}[db.layout.dialect.schema()]
		if expires == "" {
			expires = "'2035-01-01 00:00:00'"
		}
		const columns = "domain, contact, expires, last_modified, callid, cseq, methods, path, q, user_agent, received, socket, instance"
		row := func(ruid, contact, rest string) string {
			return fmt.Sprintf("'%[1]s', '%[1]s', NULL, %[2]s, %[3]s, %[3]s, %[4]s", ruid, contact, expires, rest)
		}
		null := strings.Repeat(", NULL", 3)
		fine := "'', -5" + null[:2*6] + ", -1, ''" + null
		insertLocation(
			t, db, columns, row("uloc-1", good, fine),
			row("uloc-2", `'"Bob" <sip:bob@192.0.2.1;x=y>;expires=5'`, fine), row("uloc-3", "''", fine), row("uloc-4", "'<<<'", fine),
			row("uloc-5", "'tel:1'", fine), row("uloc-6", good, "'x', 2147483647, -7, '.', 7, 'n/a', 'sip:nonsense:x', ':::', '<urn'"),
			row("uloc-7", good, "'x', 1, 0, 'no path', 1, 'x'"+null), row("", good, fine),
		)
		if db.layout.dialect.schema() == "sqlite" { // has no types
			insertLocation(t, db, columns, strings.ReplaceAll(row("uloc-8", good, fine), expires, "'soon'"),
				strings.Replace(row("uloc-9", good, fine), expires+", "+expires, expires+", 'never'", 1),
				row("uloc-10", good, "x'ff00', 'abc', 'def', NULL, 'high', x'ff', 5, 6, 7"))
		}
		used, skipped := map[string]registrar.Binding{}, []string{}
		err := db.Bindings().Load(t.Context(), noon, func(_ sip.AoR, b registrar.Binding) { used[b.RUID] = b }, func(string) {},
			func(err error) { skipped = append(skipped, err.Error()) })
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"uloc-1", "uloc-2", "uloc-6"}
		if db.layout.dialect.schema() == "sqlite" {
			want = append(want, "uloc-9", "uloc-10")
		}
		for _, ruid := range want {
			b, ok := used[ruid]
			if !ok || b.Q != 1 || b.RegID != 0 || len(b.Path) != 0 || b.CSeq != 0 && b.CSeq != 1<<31-1 {
				t.Errorf("%s: %v, %+v", ruid, ok, b)
			}
		}
		if got := used["uloc-2"].Contact; got != "sip:bob@192.0.2.1;x=y" {
			t.Errorf("contact with a display name: %q", got)
		}
		if len(used) != len(want) || len(skipped) < 5 {
			t.Errorf("used %v\nskipped %q", used, skipped)
		}
		found, bad, _ := others(t, db, 0)
		if len(found) != len(used) || len(bad) != len(skipped) {
			t.Errorf("while silod runs: %q and %q", found, bad)
		}
	})
}

// TestCheckBindings: a check tells of the contacts of other programs, and of rows that are of no
// use.
func TestCheckBindings(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{})
			save(t, db.Bindings(), simpleBinding("silod-1"))
			for ruid, change := range map[string]func(*registrar.Binding){
				"uloc-ever":   func(b *registrar.Binding) { b.Expires = time.Unix(0, 0) },
				"uloc-old":    func(b *registrar.Binding) { b.Expires = noon.Add(-time.Hour) },
				"uloc-future": func(b *registrar.Binding) { b.Modified = noon.Add(2 * time.Hour) },
				"uloc-dot":    func(b *registrar.Binding) { b.Path = []string{"."} },
				"uloc-bad":    func(b *registrar.Binding) { b.Contact = "tel:1" },
			} {
				c := simpleBinding(ruid)
				change(&c.Binding)
				save(t, db.Bindings(), c)
			}
			rawExec(t, db, "UPDATE location SET domain = NULL WHERE ruid = 'uloc-dot'")
			odd := simpleBinding("uloc-gone")
			odd.Binding.Methods = "X-OWN"
			save(t, db.Bindings(), odd)
			rawExec(t, db, "DELETE FROM location WHERE ruid = 'uloc-gone'")
			closeDB(t, db)
			wants := func(want []string) {
				t.Helper()
				list, err := Check(t.Context(), url, Options{
					Now: func() time.Time { return noon }, Domains: sip.NewDomains("example.org"),
				})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, f := range list {
					if strings.Contains(f.Table, ":") {
						got = append(got, fmt.Sprintf("%s %d: %.40s", f.Table, f.Rows, f.Note+f.Problem))
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("got\n%s", strings.Join(got, "\n"))
				}
			}
			want := []string{
				"location: no domain 1: used as contacts of users of example.org",
				"location: path '.' 1: used without a Path (kamctl ul add)",
				"location: permanent 1: used until they are removed",
				"location: expired 1: not used, silod deletes them",
				"location: future 1: written later than now: run silod with t",
				"location: unreadable 1: not used, such as row \"uloc-bad\": contac",
				"silod_binding: no contact 1: not used, silod deletes them when it sta",
			}
			wants(want)
			if e.name == "text" { // silod's own tables are never missing
				return
			}
			db = open(t, url, Options{})
			rawExec(t, db, "DELETE FROM silod_schema")
			rawExec(t, db, "DROP TABLE silod_binding")
			closeDB(t, db)
			wants(want[:len(want)-1]) // before the first start
		})
	}
}
