package db

import (
	"fmt"
	"slices"
	"testing"

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
