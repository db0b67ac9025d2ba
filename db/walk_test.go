package db

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"silod/silo"
)

// TestSlices: Tally, List and Purge find the same messages in slices of any size, also if each
// slice is a call of its own.
func TestSlices(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := &db.messages
		st.slice = 7
		stored := map[int64]*silo.Message{}
		for i := range 100 {
			m := text(fmt.Sprint(i))
			m.Owner, m.Src, m.Stored = aor(fmt.Sprintf("u%d@example.org", i%3)), fmt.Sprintf("sip:s%d@example.org", i%5), noon.Add(time.Duration(i)*time.Second)
			if i%4 == 0 {
				m.SendAt = noon.Add(time.Duration(1000-i) * time.Hour)
			}
			if i%6 == 1 {
				m.Stuck = "415 No"
			}
			add(t, st, m)
			stored[m.ID] = m
		}
		u1 := aor("u1@example.org")
		same := func(from string) bool { return strings.HasPrefix(from, "sip:s3") }
		for _, q := range []silo.Query{
			{},
			{Both: true},
			{Reminders: true},
			{Stuck: true},
			{Owner: u1},
			{Owner: u1, Both: true},
			{Owner: u1, Reminders: true},
			{Owner: u1, Stuck: true, From: "sip:s2@example.org"},
			{From: "sip:s2@example.org", SameFrom: same},
			{From: "sip:nobody@example.org", SameFrom: same},
			{Before: noon.Add(50 * time.Second), Both: true},
			{From: "sip:s1@example.org", Stuck: true, Since: noon.Add(20 * time.Second)},
		} {
			var want, got []int64
			for id, m := range stored {
				if matches(&q, m) {
					want = append(want, id)
				}
			}
			slices.Sort(want)
			for m, err := range st.List(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%+v: listed %v, want %v", q, got, want)
			}
			if half := len(want) / 2; half > 0 {
				part := q
				part.AfterID, got = want[half-1], nil
				for m, err := range st.List(t.Context(), part) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, m.ID)
				}
				if !slices.Equal(got, want[half:]) {
					t.Errorf("%+v: listed %v behind %d, want %v", q, got, want[half-1], want[half:])
				}
			}
			counted, calls := 0, 0
			for end := false; !end; calls++ {
				part := q
				part.Each = func(s silo.Slice) bool {
					q.AfterID, end = s.Last, s.End
					return false
				}
				n, err := st.Tally(t.Context(), part)
				if err != nil || calls > 100 {
					t.Fatal(err)
				}
				counted += n.Messages + n.Reminders
				if !q.Both && !q.Reminders { // Tally counts both
					counted -= n.Reminders
				}
			}
			if q.AfterID = 0; counted != len(want) {
				t.Errorf("%+v: counted %d in %d calls, want %d", q, counted, calls, len(want))
			}
			if q.From == "" {
				continue
			}
			n := 0
			for end := false; !end; {
				part := q
				part.Each = func(s silo.Slice) bool {
					q.AfterID, end = s.Last, s.End
					return false
				}
				deleted, err := st.Purge(t.Context(), part, 100)
				if n += deleted; err != nil {
					t.Fatal(err)
				}
			}
			if q.AfterID = 0; n != len(want) {
				t.Errorf("%+v: purged %d, want %d", q, n, len(want))
			}
			for _, id := range want {
				if _, err := st.Get(t.Context(), id); err == nil {
					t.Errorf("%+v: message %d is still there", q, id)
				}
				delete(stored, id)
			}
		}
		var left []int64
		for m, err := range st.List(t.Context(), silo.Query{Both: true}) {
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, m.ID)
		}
		if len(left) != len(stored) {
			t.Errorf("%d messages are left, want %d", len(left), len(stored))
		}
	})
}

// matches reports whether a query has a message.
func matches(q *silo.Query, m *silo.Message) bool {
	reminder := !m.SendAt.IsZero()
	return (q.Owner.IsZero() || q.Owner == m.Owner) &&
		(q.From == "" || q.From == m.Src || q.SameFrom != nil && q.SameFrom(m.Src)) &&
		!m.Stored.Before(q.Since) && (q.Before.IsZero() || m.Stored.Before(q.Before)) &&
		(q.Both || reminder == q.Reminders) && (!q.Stuck || m.Stuck != "")
}

// TestPurgeRequeued: a message that is requeued between the search and the deletion stays.
func TestPurgeRequeued(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := &db.messages
		m, other := text("one"), text("two")
		m.Stuck, other.Stuck = "415 No", "415 No"
		add(t, st, m, other)
		w, err := st.walk(t.Context(), silo.Query{Stuck: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.next(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := w.candidates(t.Context(), 10)
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		if ok, err := st.Requeue(t.Context(), m.ID); !ok || err != nil {
			t.Fatal(ok, err)
		}
		gone, err := st.deleteFound(t.Context(), st.writer.step, list, true)
		if err != nil || len(gone) != 1 || gone[0] != any(other.ID) {
			t.Errorf("deleted %v, %v; want %d", gone, err, other.ID)
		}
	})
}

// TestPurgeReused: a message that got the ID of a deleted one stays, also if it was stored in the
// same second.
func TestPurgeReused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := &db.messages
		m, other, end := text("one"), text("two"), text("three")
		other.Src, end.Src = "sip:other@example.org", "sip:other@example.org"
		add(t, st, m, other, end)
		w, err := st.walk(t.Context(), silo.Query{From: m.Src})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.next(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := w.candidates(t.Context(), 10)
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		list[0].id = other.ID // as if the other message had got this ID meanwhile
		if gone, err := st.deleteFound(t.Context(), st.writer.step, list, false); err != nil || len(gone) != 0 {
			t.Errorf("deleted %v, %v", gone, err)
		}
	})
}
