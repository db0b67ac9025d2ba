package db

import (
	"slices"
	"testing"

	"silod/silo"
)

// Senders that differ only by case, or by an accent that an engine ignores, are different
// spellings, and a query selects the spellings that it names.
func TestSenders(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		spellings := []string{"sip:Bob@example.org", "sip:bob@example.org", "sip:bob@example.org", "sip:jurgen@example.org", "sip:jürgen@example.org"}
		for _, from := range spellings {
			m := text("hello")
			m.Src = from
			add(t, st, m)
		}
		var got []string
		q := silo.Query{From: "sip:bob@example.org", SameFrom: func(from string) bool {
			got = append(got, from)
			return from == "sip:jürgen@example.org"
		}}
		if n, err := st.Tally(t.Context(), q); err != nil || n.Messages != 3 {
			t.Errorf("Tally = %+v, %v, want 3 messages", n, err)
		}
		slices.Sort(got)
		if want := []string{"sip:Bob@example.org", "sip:jurgen@example.org", "sip:jürgen@example.org"}; !slices.Equal(got, want) {
			t.Errorf("other senders %q, want %q", got, want)
		}
		if n, err := st.Purge(t.Context(), q, 10); err != nil || n != 3 {
			t.Errorf("Purge = %d, %v, want 3", n, err)
		}
	})
}
