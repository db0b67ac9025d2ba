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
		for from, err := range st.Senders(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, from)
		}
		slices.Sort(got)
		if want := slices.Compact(spellings); !slices.Equal(got, want) {
			t.Errorf("Senders = %q, want %q", got, want)
		}
		q := silo.Query{From: "sip:bob@example.org", OtherFrom: []string{"sip:jürgen@example.org"}}
		if n, err := st.Tally(t.Context(), q); err != nil || n.Messages != 3 {
			t.Errorf("Tally = %+v, %v, want 3 messages", n, err)
		}
		if n, err := st.Purge(t.Context(), q, 10); err != nil || n != 3 {
			t.Errorf("Purge = %d, %v, want 3", n, err)
		}
	})
}
