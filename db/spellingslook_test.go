package db

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// While silod stores messages without a pause, a look at new rows finds none of its own.
func TestLookSkipsOwnRows(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			var late atomic.Int64
			db := open(t, e.fresh(t), Options{Domains: names, Now: func() time.Time { return noon.Add(time.Duration(late.Load())) }})
			sp, st := &db.messages.spellings, db.Messages()
			store := func(n int) {
				for range n {
					add(t, st, text("x"))
				}
			}
			look := func() {
				t.Helper()
				late.Add(int64(commitTime))
				if err := sp.look(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			look()
			store(3)
			look()
			look()
			// Rows that are committed during a look.
			db.layout.watch = func(text string, _ []any) {
				if strings.Contains(text, "LIMIT") { // after it has read the highest number
					db.layout.watch = nil
					store(5)
				}
			}
			look()
			pages := 0
			db.layout.watch = func(text string, args []any) {
				if strings.Contains(text, "LIMIT") {
					pages++
					var n int
					if err := db.reader.pool.QueryRowContext(t.Context(), fmt.Sprint("SELECT COUNT(*) FROM silo WHERE id > ", args[0])).Scan(&n); err != nil || n > 0 {
						t.Errorf("a look reads %d own rows, %v", n, err)
					}
				}
			}
			store(4)
			look()
			if pages != 1 {
				t.Errorf("%d pages", pages)
			}
			db.layout.watch = nil
			insertAs(t, db, "BOB", "example.org", "of another program")
			look()
			if got := nextOf(t, db, bob); !strings.Contains(got, "of another program") {
				t.Errorf("got %q", got)
			}
		})
	}
}
