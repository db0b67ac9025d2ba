package db

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/im"
	"silod/silo"
	"silod/sip"
)

// text returns a plain message to bob, stored at noon, that expires an hour later.
func text(body string) *silo.Message {
	return &silo.Message{
		Owner: bob, Src: "sip:alice@example.org", Dst: "sip:bob@example.org",
		Stored: noon, Expires: noon.Add(time.Hour),
		Message: im.Message{
			From: "<sip:alice@example.org>;tag=1", To: "<sip:bob@example.org>", CallID: "c1@host", CSeq: 1,
			Headers: []sip.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte(body),
		},
	}
}

func add(t testing.TB, st silo.Store, ms ...*silo.Message) {
	t.Helper()
	for _, m := range ms {
		if err := st.Add(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
}

func next(t testing.TB, st silo.Store, after int64, limit int) []silo.Message {
	t.Helper()
	ms, err := st.Next(t.Context(), bob, nil, after, limit, noon)
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func bodies(ms []silo.Message) string {
	var out []string
	for _, m := range ms {
		out = append(out, string(m.Body))
	}
	return strings.Join(out, " ")
}

func remove(t testing.TB, st silo.Store, id int64) {
	t.Helper()
	done := make(chan error, 1)
	st.Delete(id, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestMessagesOrder(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		ms := []*silo.Message{text("1"), text("2"), text("3"), text("4")}
		add(t, st, ms...)
		if got := bodies(next(t, st, 0, 3)); got != "1 2 3" {
			t.Errorf("first three: %q", got)
		}
		if got := bodies(next(t, st, ms[1].ID, 10)); got != "3 4" {
			t.Errorf("after the second: %q", got)
		}
		for i := 1; i < len(ms); i++ {
			if ms[i].ID <= ms[i-1].ID {
				t.Errorf("ID %d after %d", ms[i].ID, ms[i-1].ID)
			}
		}
		remove(t, st, ms[0].ID)
		remove(t, st, ms[0].ID) // deleted already: not an error
		if got := bodies(next(t, st, 0, 10)); got != "2 3 4" {
			t.Errorf("after the delete: %q", got)
		}
	})
}

func TestMessagesNextLeavesOut(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		expired, reminder, other, stuck, never := text("expired"), text("reminder"), text("other"), text("stuck"), text("never")
		expired.Expires = noon
		reminder.SendAt = noon.Add(time.Minute)
		other.Owner = aor("BOB@example.org")
		never.Expires = time.Time{}
		add(t, st, expired, reminder, other, stuck, never)
		if ok, err := st.SetAside(t.Context(), stuck.ID, "603 Decline", nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "never" {
			t.Errorf("Next returns %q", got)
		}
		if got := next(t, st, 0, 10)[0]; !got.Expires.IsZero() {
			t.Errorf("a message without end expires at %v", got.Expires)
		}
		n, err := count(t, st, aor("bob@example.org"))
		if n != 3 || err != nil {
			t.Errorf("Count = %d, %v; reminders and other mailboxes do not count", n, err)
		}
	})
}

func TestMessagesDue(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		at := func(body string, d time.Duration) *silo.Message {
			m := text(body)
			m.SendAt = noon.Add(d)
			return m
		}
		add(t, st, text("message"), at("late", time.Second), at("due", 0), at("first", -time.Minute))
		ms, err := st.Due(t.Context(), noon, nil, 10)
		if err != nil || bodies(ms) != "first due" {
			t.Errorf("Due = %q, %v", bodies(ms), err)
		}
		if !ms[1].SendAt.Equal(noon) {
			t.Errorf("SendAt = %v", ms[1].SendAt)
		}
	})
}

func TestMessagesSetAsideAndRequeue(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st, m := db.Messages(), text("x")
		add(t, st, m)
		for _, reason := range []string{"488 Not Acceptable Here", "ü " + strings.Repeat("x", 500) + "\xff"} {
			if ok, err := st.SetAside(t.Context(), m.ID, reason, nil); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		got, err := st.Get(t.Context(), m.ID)
		if err != nil || !strings.HasPrefix(got.Stuck, "ü xxx") {
			t.Errorf("Stuck = %q, %v", got.Stuck, err)
		}
		if ok, err := st.Requeue(t.Context(), m.ID); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ms := next(t, st, 0, 10); len(ms) != 1 || ms[0].Stuck != "" {
			t.Errorf("after Requeue: %+v", ms)
		}
		if ok, err := st.SetAside(t.Context(), m.ID+1, "none", nil); ok || err != nil {
			t.Errorf("SetAside of no message: %v, %v", ok, err)
		}
		if ok, err := st.Requeue(t.Context(), m.ID+1); ok || err != nil {
			t.Errorf("Requeue of no message: %v, %v", ok, err)
		}
		if _, err := st.Get(t.Context(), m.ID+1); !errors.Is(err, silo.ErrNotFound) {
			t.Errorf("Get of no message: %v", err)
		}
	})
}

func TestMessagesExpire(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		for i := range 5 {
			m := text(fmt.Sprint(i))
			m.Expires = noon.Add(time.Duration(i-3) * time.Second)
			m.Headers = append(m.Headers, sip.Header{Name: "X-Long", Value: strings.Repeat("x", 2000)})
			add(t, st, m)
		}
		forever := text("forever")
		forever.Expires = time.Time{}
		add(t, st, forever)
		ms, err := st.Expire(t.Context(), noon, 3)
		if err != nil || bodies(ms) != "0 1 2" {
			t.Errorf("first three: %q, %v", bodies(ms), err)
		}
		if len(ms) > 0 && len(ms[0].Header("X-Long")) != 2000 {
			t.Error("an expired message has lost its headers")
		}
		if ms, err = st.Expire(t.Context(), noon, 3); err != nil || bodies(ms) != "3" {
			t.Errorf("the rest: %q, %v", bodies(ms), err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "4 forever" {
			t.Errorf("left: %q", got)
		}
		if n := rawValue(t, db, "SELECT COUNT(*) FROM silod_meta"); fmt.Sprint(n) != "1" {
			t.Errorf("%v header blocks are left for one message", n)
		}
	})
}

func TestMessagesWaiting(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		want := map[sip.AoR]bool{}
		var wg sync.WaitGroup
		for i := range 500 {
			for range 2 {
				m := text("x")
				m.Owner = aor(fmt.Sprintf("u%03d@example.org", i/2))
				if i%2 == 1 {
					m.Owner = aor(fmt.Sprintf("U%03d@example.org", i/2))
				}
				want[m.Owner] = true
				wg.Go(func() { add(t, st, m) })
			}
		}
		wg.Wait()
		for i, m := range []*silo.Message{text("expired"), text("reminder"), text("stuck")} {
			m.Owner = aor(fmt.Sprintf("none%d@example.org", i))
			switch i {
			case 0:
				m.Expires = noon
			case 1:
				m.SendAt = noon
			}
			add(t, st, m)
			if i == 2 {
				if _, err := st.SetAside(t.Context(), m.ID, "no", nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := st.Waiting(t.Context(), noon, func(a sip.AoR) {
			if !want[a] {
				t.Errorf("Waiting returns %v, unknown or twice", a)
			}
			delete(want, a)
		})
		if err != nil || len(want) > 0 {
			t.Errorf("Waiting left out %d owners, %v", len(want), err)
		}
	})
}

// The size of a page depends on the length of its messages, within limits.
func TestPageOf(t *testing.T) {
	for _, c := range []struct{ n, each, want int }{
		{50, 100, 50}, {50, 0, 50}, {0, 0, 8}, {50, 4096, 16}, {16, 65535, 8}, {8, 65535, 8}, {1, 2048, 32}, {8, 100, 50},
	} {
		page := make([]silo.Message, c.n)
		for i := range page {
			page[i].Body = make([]byte, c.each)
		}
		if got := nextPageRows(page); got != c.want {
			t.Errorf("after %d messages of %d bytes: %d, want %d", c.n, c.each, got, c.want)
		}
	}
}

func TestMessagesListTallyPurge(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		var wg sync.WaitGroup
		for i := range 450 {
			m := text("x")
			m.Stored = noon.Add(time.Duration(i) * time.Second)
			if i%3 == 0 {
				m.Owner = aor("carol@example.org")
			}
			if i%10 == 0 {
				m.Src = "sip:dan@example.org"
			}
			if i >= 100 && i < 140 {
				m.Body = bytes.Repeat([]byte("long "), 3000) // pages of these are smaller
			}
			if i == 7 {
				m.SendAt = noon
			}
			wg.Go(func() {
				add(t, st, m)
				if i == 8 {
					if _, err := st.SetAside(t.Context(), m.ID, "no", nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		list := func(q silo.Query) (n int) {
			last := int64(0)
			for m, err := range st.List(t.Context(), q) {
				if err != nil {
					t.Fatal(err)
				}
				if m.ID <= last {
					t.Fatalf("List returns %d after %d", m.ID, last)
				}
				last = m.ID
				n++
			}
			return n
		}
		for _, c := range []struct {
			name string
			q    silo.Query
			want int
		}{
			{"all messages", silo.Query{}, 449},
			{"a mailbox", silo.Query{Owner: aor("carol@example.org")}, 150},
			{"a sender", silo.Query{From: "sip:dan@example.org"}, 45},
			{"old ones", silo.Query{Before: noon.Add(100 * time.Second)}, 99},
			{"reminders", silo.Query{Reminders: true}, 1},
			{"stuck", silo.Query{Stuck: true}, 1},
			{"limited", silo.Query{Limit: 201}, 201},
		} {
			if n := list(c.q); n != c.want {
				t.Errorf("%s: %d, want %d", c.name, n, c.want)
			}
		}
		got, err := st.Tally(t.Context(), silo.Query{})
		want := silo.Totals{Messages: 449, Reminders: 1, Stuck: 1, Oldest: noon}
		if got.Oldest = got.Oldest.UTC(); err != nil || got != want {
			t.Errorf("Tally = %+v, %v, want %+v", got, err, want)
		}
		if n, err := st.Owners(t.Context()); n != 2 || err != nil {
			t.Errorf("%d owners, %v", n, err)
		}
		if n, err := st.Purge(t.Context(), silo.Query{From: "sip:dan@example.org"}, 40); n != 40 || err != nil {
			t.Errorf("Purge = %d, %v", n, err)
		}
		if n, err := st.Purge(t.Context(), silo.Query{From: "sip:dan@example.org"}, 40); n != 5 || err != nil {
			t.Errorf("Purge = %d, %v", n, err)
		}
		if n := list(silo.Query{}); n != 404 {
			t.Errorf("%d left", n)
		}
	})
}

// AddAll stores all messages in their order, or none.
func TestMessagesAddAll(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		long := text("2")
		long.Owner.User = strings.Repeat("x", 300)
		if err := st.AddAll(t.Context(), []*silo.Message{text("1"), long, text("3")}); !errors.Is(err, silo.ErrInvalid) {
			t.Errorf("one that does not fit: %v", err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "" {
			t.Errorf("part of it is stored: %q", got)
		}
		ms := []*silo.Message{text("1"), text("2"), text("3")}
		ms[1].SendAt = noon.Add(time.Hour)
		if err := st.AddAll(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		if ms[0].ID <= 0 || ms[1].ID <= ms[0].ID || ms[2].ID <= ms[1].ID {
			t.Errorf("IDs %d %d %d", ms[0].ID, ms[1].ID, ms[2].ID)
		}
		var both []string
		for m, err := range st.List(t.Context(), silo.Query{Both: true, Since: ms[0].Stored, Before: ms[0].Stored.Add(time.Second)}) {
			if err != nil {
				t.Fatal(err)
			}
			both = append(both, string(m.Body))
		}
		if got := strings.Join(both, " "); got != "1 2 3" {
			t.Errorf("messages and reminders of that second: %q", got)
		}
		for range st.List(t.Context(), silo.Query{Since: ms[0].Stored.Add(time.Second)}) {
			t.Error("List returns a message of an earlier second")
		}
		markCopy(t, st, ms[0].ID, "b", "415 No")
		markCopy(t, st, ms[0].ID, "a", "")
		for id, want := range map[int64]string{ms[0].ID: `[{"a" ""} {"b" "415 No"}]`, ms[2].ID: "[]", 999: "[]"} {
			got, err := st.Marks(t.Context(), id)
			if marksText(got) != want || err != nil {
				t.Errorf("marks of %d: %v, %v, want %s", id, got, err, want)
			}
			for _, c := range got {
				if time.Since(c.At).Abs() > time.Minute {
					t.Errorf("%s: at %v", c.Device, c.At)
				}
			}
		}
		markCopy(t, st, ms[1].ID, "b", "415 No")
		var marked []string
		for m, err := range st.List(t.Context(), silo.Query{Both: true}) {
			if err != nil {
				t.Fatal(err)
			}
			marked = append(marked, fmt.Sprint(m.Copies, m.Marked))
		}
		if got := strings.Join(marked, " "); got != "1 true 0 true 0 false" {
			t.Errorf("copies and marks: %s", got)
		}
	})
}
