package db

import (
	"fmt"
	"slices"
	"testing"

	"silod/silo"
	"silod/sip"
)

// Mailboxes that are longer than a page, and names that an engine sorts as equal, do not hide
// others.
func TestWaitingPages(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.prepared(t, fixture(t, "8", e.name)...), Options{}) // ignores case on MySQL
			rawExec(t, db, "DELETE FROM silo")
			want := []string{"a", "bob", "Bob", "BOB", "bobby", "carol", "Carol", "z"}
			for _, o := range want {
				n := 1
				if o == "bob" || o == "Carol" {
					n = waitingRows + 200
				}
				rawExec(t, db, fmt.Sprintf(`INSERT INTO silo (src_addr, dst_addr, username, domain, inc_time, exp_time, snd_time, ctype, body)
					SELECT 'sip:s@example.org', 'sip:x@example.org', '%s', 'example.org', n, 2147483647, 0, 'text/plain', 'x' %s WHERE n <= %d`, o, series[e.name], n))
			}
			statements := 0
			db.layout.watch = func(string, []any) { statements++ }
			var got []string
			if err := db.Messages().Waiting(t.Context(), noon, func(a sip.AoR) { got = append(got, a.User) }); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			got = slices.Compact(got)
			if slices.Sort(want); !slices.Equal(got, want) {
				t.Errorf("got %q", got)
			}
			if statements > 20 { // also those that read all names
				t.Errorf("%d statements for 2 full pages", statements)
			}
		})
	}
}

// Where mailboxes are large, most of their rows are skipped, and no owner is.
func TestOwnersAreSkippedTo(t *testing.T) {
	onEach(t, func(t *testing.T, db *DB) {
		var ms []*silo.Message
		for i := range 2000 {
			m := text(fmt.Sprint(i))
			m.Owner = aor(fmt.Sprintf("u%d@d%d.example", i/40, i/20%2)) // 100 mailboxes of 20
			if i/20%3 == 0 {
				m.Stuck = "415 No"
			}
			ms = append(ms, m)
		}
		if err := db.Messages().AddAll(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		statements := 0
		db.layout.watch = func(string, []any) { statements++ }
		waiting := map[sip.AoR]int{}
		st := &db.messages
		pages := ownerPages{joinStuck, ` AND t.silo_id IS NULL AND s.{snd} >= $1`, []any{0}, nil, 100}
		if err := pages.each(t.Context(), st.reader, func(n rowName) { waiting[db.layout.aor(n)]++ }); err != nil {
			t.Fatal(err)
		}
		for _, m := range ms {
			if want := oneIf(m.Stuck == ""); int64(waiting[m.Owner]) != want {
				t.Errorf("%s is found %d times, want %d", m.Owner, waiting[m.Owner], want)
			}
		}
		if pages.canSkip(&db.layout) && statements > 8 {
			t.Errorf("%d statements", statements)
		}
	})
}
