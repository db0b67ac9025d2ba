package db

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"silod/imc"
	"silod/silo"
)

// A lossy is a database on a server whose successor has missed its last commits.
type lossy struct {
	db   *DB
	fail func() // has the successor take over
}

// lateStandby returns a PostgreSQL database with a standby that receives nothing after miss.
func lateStandby(t *testing.T) (l lossy, miss func()) {
	primary := servers["postgres"].start(t)
	url := primary.Database(t)
	standby := primary.LateStandby(t)
	l.db = open(t, primary.With(standby, url), Options{})
	l.fail = func() {
		primary.Kill()
		standby.Thaw()
		standby.Promote(t)
	}
	return l, func() { primary.Forget(t, standby) }
}

// twoServers returns the same for two MariaDB servers that get the same rows until miss.
func twoServers(t *testing.T) (l lossy, miss func()) {
	one, two := servers["mariadb"].start(t), servers["mariadb"].start(t)
	urls := []string{one.Database(t), two.Database(t)}
	for _, url := range urls {
		if _, err := Init(t.Context(), url, Options{}); err != nil {
			t.Fatal(err)
		}
		filled(t, url, "CREATE USER app@'127.0.0.1'", "GRANT ALL ON test1.* TO app@'127.0.0.1'")
	}
	app := func(url string) string { return strings.Replace(url, "root@", "app@", 1) }
	l.db = open(t, app(one.With(two, urls[0])), Options{})
	l.fail = func() { filled(t, urls[0], "SET GLOBAL read_only = 1") }
	return l, func() {
		to := open(t, urls[1], Options{Unfinished: true})
		if err := Copy(t.Context(), l.db, to, CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		closeDB(t, to)
	}
}

// TestFailoverToALateStandby: messages that were deleted before a failover are deleted on
// the new server as well, and new rows get higher numbers than the lost ones.
func TestFailoverToALateStandby(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) (lossy, func()){"postgres": lateStandby, "mariadb": twoServers} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, miss := start(t)
			db := l.db
			var old []int64
			for i := range 20 {
				m := text(fmt.Sprint("old ", i))
				add(t, db.Messages(), m)
				old = append(old, m.ID)
			}
			entry := &imc.Entry{Room: room1, From: alice, At: noon, Message: text("entry").Message}
			if err := db.Rooms().Append(t.Context(), entry, func() {}); err != nil {
				t.Fatal(err)
			}
			var reminders []int64
			for range 2 {
				m := text("reminder")
				m.SendAt, m.Expires = noon, time.Now().Add(time.Hour)
				add(t, db.Messages(), m)
				reminders = append(reminders, m.ID)
			}
			miss()
			markCopy(t, db.Messages(), old[0], "phone", "")
			for _, id := range old[5:] {
				remove(t, db.Messages(), id)
			}
			var released []int64
			for _, id := range reminders {
				m := text("released")
				if found, err := releaseOne(t, db.Messages(), id, m); err != nil || !found {
					t.Fatal(found, err)
				}
				released = append(released, m.ID)
			}
			remove(t, db.Messages(), released[0]) // it was delivered; the other one is lost
			var highest int64
			for i := range 100 { // more than the numbers that a sequence logs in advance
				m := text(fmt.Sprint("lost ", i))
				add(t, db.Messages(), m)
				highest = m.ID
			}
			if err := db.Rooms().SaveCursors(t.Context(), []imc.Cursor{{Room: room1, User: bob, Seq: entry.Seq}}); err != nil {
				t.Fatal(err)
			}
			l.fail()
			var m *silo.Message
			for end := time.Now().Add(20 * time.Second); ; {
				m = text("new")
				if err := db.Messages().Add(t.Context(), m); err == nil {
					break
				} else if time.Now().After(end) {
					t.Fatal(err)
				}
			}
			if m.ID <= highest {
				t.Errorf("the first new message has the number %d, which is used up to %d", m.ID, highest)
			}
			if got := bodies(next(t, db.Messages(), 0, 200)); got != "old 0 old 1 old 2 old 3 old 4 new" {
				t.Errorf("stored: %q", got)
			}
			due, err := db.Messages().Due(t.Context(), time.Now(), nil, 10)
			if err != nil || len(due) != 1 || due[0].ID != reminders[1] {
				t.Errorf("reminders %v, %v", due, err)
			}
			if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_device")); n != 1 {
				t.Errorf("%d marks", n)
			}
			if n := asInt(rawValue(t, db, "SELECT MAX(seq) FROM silod_cursor")); n != entry.Seq {
				t.Errorf("cursor %d, want %d", n, entry.Seq)
			}
		})
	}
}

// TestRedoLogIsBounded: the log forgets old entries and keeps a limited number of rows.
func TestRedoLogIsBounded(t *testing.T) {
	t.Parallel()
	var l redoLog
	for i := range 1000 {
		l.add(redoEntry{at: noon.Add(time.Duration(i) * time.Millisecond), deleted: make([]any, 100)})
		if l.rows > redoRows || l.rows != 100*len(l.entries) {
			t.Fatalf("%d rows in %d entries", l.rows, len(l.entries))
		}
	}
	l.add(redoEntry{at: noon.Add(time.Hour), deleted: make([]any, 1)})
	if l.rows != 1 || len(l.entries) != 1 {
		t.Errorf("%d rows in %d entries", l.rows, len(l.entries))
	}
}

// TestRedoIsForTheSameMessage: on the same server a new connection changes nothing. A message
// that another program has stored under the number of a deleted one stays, and so do the
// effects of a requeue. No mark is left without its message.
func TestRedoIsForTheSameMessage(t *testing.T) {
	t.Parallel()
	for _, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, e.fresh(t), Options{})
			if !db.layout.traits.keyed {
				t.Skip("there is no other server")
			}
			st := db.Messages()
			gone, reused, asked := text("gone"), text("reused"), text("asked")
			add(t, st, gone, reused, asked)
			markCopy(t, st, gone.ID, "phone", "488")
			markCopy(t, st, asked.ID, "phone", "488")
			markCopy(t, st, asked.ID, "tablet", "")
			if found, err := st.Requeue(t.Context(), asked.ID); err != nil || !found {
				t.Fatal(found, err)
			}
			markCopy(t, st, asked.ID, "desk", "415")
			remove(t, st, gone.ID)
			remove(t, st, reused.ID)

			w := &db.writer
			at := w.redoLog.entries[len(w.redoLog.entries)-1].at
			if _, err := w.attempt(stored(t, db, "last", at.Add(10*time.Second))); err != nil {
				t.Fatal(err)
			}
			w.redoLog.entries = append(w.redoLog.entries, redoEntry{at: at.Add(10 * time.Second), deleted: []any{int64(1 << 40)}})
			again := text("of another program")
			again.Stored = at.Add(5 * time.Second)
			add(t, st, again)
			rawExec(t, db, fmt.Sprintf("UPDATE silo SET id = %d WHERE id = %d", reused.ID, again.ID))

			w.disconnect()
			if _, err := w.attempt(stored(t, db, "new", at)); err != nil {
				t.Fatal(err)
			}
			if w.redoLog.due {
				t.Fatal("nothing was repeated")
			}
			if got := bodies(next(t, st, 0, 10)); got != "of another program asked last new" {
				t.Errorf("stored: %q", got)
			}
			marks, err := st.Marks(t.Context(), asked.ID)
			if err != nil || len(marks) != 2 || marks[0].Device != "desk" || marks[1].Device != "tablet" {
				t.Errorf("marks %v, %v", marks, err)
			}
			if n := asInt(rawValue(t, db, "SELECT COUNT(*) FROM silod_device")); n != 2 {
				t.Errorf("%d marks are left", n)
			}
		})
	}
}

// stored returns a batch with a message that was stored at a time.
func stored(t *testing.T, db *DB, body string, at time.Time) *batch {
	t.Helper()
	row, err := db.layout.messageRow(text(body), at)
	if err != nil {
		t.Fatal(err)
	}
	return newBatch([]*op{{join: func(p *plan) { p.messages = append(p.messages, row) }, deadline: time.Now().Add(writeTimeout)}})
}
