package db

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"silod/silo"
	"silod/sip"
)

func markCopy(t testing.TB, st silo.Store, id int64, device, refused string) {
	t.Helper()
	done := make(chan error, 1)
	st.Mark(id, []silo.Copy{{Device: device, Refused: refused}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func nextFor(t testing.TB, st silo.Store, device string) string {
	t.Helper()
	ms, err := st.Next(t.Context(), aor("bob@example.org"), []string{device}, 0, 10, noon)
	if err != nil {
		t.Fatal(err)
	}
	return bodies(ms)
}

func TestMessagesCopies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		long := strings.Repeat("x", 300)
		ms := []*silo.Message{text("1"), text("2"), text("3")}
		add(t, st, ms...)
		markCopy(t, st, ms[0].ID, "phone", "")
		markCopy(t, st, ms[0].ID, "phone", "") // again, as after a lost answer
		markCopy(t, st, ms[1].ID, "tablet", "603 Decline")
		markCopy(t, st, ms[2].ID, long+"1", "")
		markCopy(t, st, ms[2].ID+1000, "phone", "") // of a deleted message
		for device, want := range map[string]string{
			"phone": "2 3", "tablet": "1 3", "Phone": "1 2 3", long + "1": "1 2", long + "2": "1 2 3",
		} {
			if got := nextFor(t, st, device); got != want {
				t.Errorf("messages for %.10s: %q, want %q", device, got, want)
			}
		}
		if got := bodies(next(t, st, 0, 10)); got != "1 2 3" {
			t.Errorf("messages of the mailbox: %q", got)
		}
		m, err := st.Get(t.Context(), ms[0].ID)
		if err != nil || m.Copies != 1 {
			t.Errorf("%d copies, %v", m.Copies, err)
		}
		if n, err := count(t, st, aor("bob@example.org")); n != 1 || err != nil {
			t.Errorf("Count = %d, %v; a message with a copy does not count", n, err)
		}
		if n, err := st.Purge(t.Context(), silo.Query{Copied: true}, 10); n != 2 || err != nil {
			t.Errorf("Purge = %d, %v", n, err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "2" {
			t.Errorf("left: %q", got)
		}
		remove(t, st, ms[1].ID)
		if n := rawValue(t, db, "SELECT COUNT(*) FROM silod_device"); n != int64(0) {
			t.Errorf("%v rows of deleted messages are left", n)
		}
	})
}

func TestMessagesExpiredCopies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		got, refused := text("got"), text("refused")
		add(t, st, got, refused)
		markCopy(t, st, got.ID, "phone", "")
		markCopy(t, st, refused.ID, "phone", "415 Unsupported Media Type")
		gone, err := st.Expire(t.Context(), noon.Add(2*time.Hour), 10)
		if err != nil || len(gone) != 2 {
			t.Fatalf("%d have expired, %v", len(gone), err)
		}
		for _, m := range gone {
			if want := map[string]int{"got": 1}[string(m.Body)]; m.Copies != want {
				t.Errorf("%s: %d copies", m.Body, m.Copies)
			}
		}
	})
}

// Marks survive a restart.
func TestMessagesCopiesAreFound(t *testing.T) {
	t.Parallel()
	for _, e := range append([]engine{textEngine}, engines...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			db := open(t, url, Options{})
			if n, err := db.Messages().Purge(t.Context(), silo.Query{Copied: true}, 10); n != 0 || err != nil {
				t.Errorf("Purge = %d, %v", n, err)
			}
			m := text("1")
			add(t, db.Messages(), m)
			markCopy(t, db.Messages(), m.ID, "phone", "")
			closeDB(t, db)
			db = open(t, url, Options{})
			if got := nextFor(t, db.Messages(), "phone"); got != "" {
				t.Errorf("messages for the phone: %q", got)
			}
			if n, err := db.Messages().Purge(t.Context(), silo.Query{Copied: true}, 10); n != 1 || err != nil {
				t.Errorf("Purge = %d, %v", n, err)
			}
		})
	}
}

func TestMessagesRelease(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		r, m := text("remember"), text("remember!")
		r.SendAt = noon.Add(time.Minute)
		m.From, m.CallID = "<sip:reminder@example.org>;tag=r", "reminder-1@host"
		add(t, st, r)
		if ok, err := releaseOne(t, st, r.ID, m); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if got := next(t, st, 0, 10); len(got) != 1 || string(got[0].Body) != "remember!" || got[0].From != m.From || got[0].ID != m.ID {
			t.Errorf("waiting: %+v", got)
		}
		again := text("again")
		if ok, err := releaseOne(t, st, r.ID, again); ok || err != nil {
			t.Errorf("released twice: %v, %v", ok, err)
		}
		if got := bodies(next(t, st, 0, 10)); got != "remember!" {
			t.Errorf("waiting: %q", got)
		}
	})
}

// TestStatementsPerDevices: reading a mailbox for any number of devices takes one prepared
// statement, because statements are kept.
func TestStatementsPerDevices(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, db *DB) {
		st := db.Messages()
		m := text("hello")
		add(t, st, m)
		markCopy(t, st, m.ID, "0", "488")
		var names []string
		for i := range 9 {
			names = append(names, strconv.Itoa(i))
			if ms, err := st.Next(t.Context(), bob, names, 0, 10, noon); err != nil || (len(ms) == 1) != (i > 0) {
				t.Fatalf("%d devices: %d messages, %v", len(names), len(ms), err)
			}
		}
		kept := 0
		db.reader.reads.Range(func(_, v any) bool {
			if v.(*read).stmt != nil && strings.Contains(v.(*read).text, "device") {
				kept++
			}
			return true
		})
		if kept > 2 {
			t.Errorf("%d statements are kept", kept)
		}
	})
}

// count returns the number of messages that wait for an owner.
func count(t testing.TB, st silo.Store, owner sip.AoR) (int, error) {
	t.Helper()
	u, err := st.Usage(t.Context(), owner, "", false)
	return int(u.Messages), err
}
