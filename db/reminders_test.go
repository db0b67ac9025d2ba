package db

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/silo"
)

// releaseOne replaces one reminder, and reports whether there was one.
func releaseOne(t *testing.T, st silo.Store, id int64, m *silo.Message) (bool, error) {
	t.Helper()
	err := st.Release(t.Context(), []silo.Release{{Reminder: id, Message: m}})
	return m.ID != 0, err
}

// Reminders that are due are read by pages and released together, in their order, once. Those
// that another program has deleted are left out. If the table refuses one, none is released.
func TestReleaseTogether(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		for i := range 9 {
			m := text(fmt.Sprint(i))
			m.SendAt = noon.Add(time.Duration(9-i/2) * time.Minute) // two of one time
			add(t, st, m)
		}
		var order []string
		var list []silo.Release
		var last *silo.Message
		for {
			page, err := st.Due(t.Context(), noon.Add(10*time.Minute), last, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for i := range page {
				order = append(order, string(page[i].Body))
				m := page[i]
				m.SendAt = time.Time{}
				list = append(list, silo.Release{Reminder: m.ID, Message: &m})
			}
			last = &page[len(page)-1]
		}
		if got := strings.Join(order, ""); got != "867452301" {
			t.Errorf("due: %s", got)
		}
		bad := *list[0].Message
		bad.Owner.User = strings.Repeat("x", 100_000)
		if err := st.Release(t.Context(), append(slices.Clone(list), silo.Release{Reminder: list[0].Reminder, Message: &bad})); !errors.Is(err, silo.ErrInvalid) {
			t.Errorf("released with a row that does not fit: %v", err)
		}
		remove(t, st, list[4].Reminder)
		if err := st.Release(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for i, r := range list {
			if got := r.Message.ID != 0; got != (i != 4) {
				t.Errorf("%d: ID %d", i, r.Message.ID)
			}
		}
		if got := bodies(next(t, st, 0, 20)); strings.ReplaceAll(got, " ", "") != "86742301" {
			t.Errorf("waiting: %s", got)
		}
		for _, r := range list {
			r.Message.ID = 0
		}
		if err := st.Release(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		if n, err := count(t, st, bob); n != 8 || err != nil {
			t.Errorf("%d messages after a second release, %v", n, err)
		}
	})
}
