package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/im"
	"silod/imc"
	"silod/silo"
)

// A load is a number of callers that write without a pause, with the outcome of each write.
type load struct {
	db    *DB
	stop  chan struct{}
	group sync.WaitGroup

	mu      sync.Mutex
	acked   map[string]int64 // ID by name
	refused map[string]error
	longest time.Duration
}

func startLoad(t *testing.T, db *DB) *load {
	l := &load{db: db, stop: make(chan struct{}), acked: map[string]int64{}, refused: map[string]error{}}
	for c := range 32 {
		l.group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
					l.write(t, fmt.Sprintf("%d/%d", c, i), i%2 == 0)
				}
			}
		})
	}
	return l
}

// write stores a message or appends to a room log, and records the outcome.
func (l *load) write(t *testing.T, name string, message bool) {
	began := time.Now()
	var id int64
	var err error
	if message {
		m := text(name)
		err = l.db.Messages().Add(context.Background(), m)
		id = m.ID
	} else {
		e := &imc.Entry{Room: room1, From: alice, At: noon, Message: im.Message{Body: []byte(name)}}
		err = l.db.Rooms().Append(context.Background(), e, func() {})
		id = e.Seq
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(l.longest, time.Since(began))
	switch {
	case err == nil:
		l.acked[name] = id
	case errors.Is(err, silo.ErrBusy) && id == 0:
		l.refused[name] = err
	default:
		t.Errorf("%s: %v, ID %d", name, err, id)
	}
}

// progress waits for n more acknowledged writes.
func (l *load) progress(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acked)
	}
	want := count() + n
	for deadline := time.Now().Add(time.Minute); count() < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is stored any more")
		}
	}
}

// check ends the load and compares the outcomes with the database.
func (l *load) check(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.group.Wait()
	found := map[string][]int64{}
	for after := int64(0); ; {
		ms := next(t, l.db.Messages(), after, 1000)
		if len(ms) == 0 {
			break
		}
		for _, m := range ms {
			found[string(m.Body)] = append(found[string(m.Body)], m.ID)
			after = m.ID
		}
	}
	es, err := l.db.Rooms().Log(t.Context(), room1, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		found[string(e.Body)] = append(found[string(e.Body)], e.Seq)
	}
	for name, id := range l.acked {
		if ids := found[name]; len(ids) != 1 || ids[0] != id {
			t.Errorf("%s was acknowledged as %d and is there as %v", name, id, ids)
		}
	}
	for name, ids := range found {
		if len(ids) > 1 {
			t.Errorf("%s is there %d times", name, len(ids))
		}
	}
	t.Logf("%d acknowledged, %d refused, %d stored, longest wait %v", len(l.acked), len(l.refused), len(found), l.longest)
	if l.longest > writeTimeout+3*time.Second {
		t.Errorf("a caller waited %v", l.longest)
	}
}

// servers are the engines with a server process.
var servers = map[string]struct {
	start     func(testing.TB) *dbtest.Server
	terminate string // ends all other connections
}{
	"postgres": {dbtest.NewPostgreSQL, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"},
	"mariadb":  {dbtest.NewMariaDB, ""},
}

// TestServerDies: when a server is killed and started again, no acknowledged write is
// lost and none is stored twice. Meanwhile callers wait.
func TestServerDies(t *testing.T) {
	t.Parallel()
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s.start(t)
			l := startLoad(t, open(t, srv.Database(t), Options{}))
			for range 3 {
				l.progress(t, 200)
				srv.Kill()
				srv.Start(t)
			}
			l.progress(t, 200)
			l.check(t)
		})
	}
}

// TestConnectionsDie: connections break at any time, also during a commit.
func TestConnectionsDie(t *testing.T) {
	t.Parallel()
	for name, s := range servers {
		if s.terminate == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, s.start(t).Database(t), Options{})
			l := startLoad(t, db)
			for range 30 {
				l.progress(t, 20)
				_, _ = db.reader.pool.ExecContext(t.Context(), s.terminate)
			}
			l.progress(t, 200)
			l.check(t)
		})
	}
}

// TestServerFreezes: the connections of a server stay open without an answer.
func TestServerFreezes(t *testing.T) {
	t.Parallel()
	for name, s := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s.start(t)
			db := open(t, srv.Database(t), Options{})
			l := startLoad(t, db)
			l.progress(t, 200)
			srv.Freeze()
			wait := writerTimeout() + 2*time.Second
			if !testing.Short() {
				wait = writeTimeout + 5*time.Second // until callers are refused
			}
			time.Sleep(wait)
			srv.Thaw()
			l.progress(t, 200)
			l.check(t)
			if !testing.Short() && len(l.refused) == 0 {
				t.Error("no write was refused")
			}
		})
	}
}

// TestFailover: the primary of a pair is killed and its synchronous standby is promoted.
// Acknowledged writes are kept and writes continue.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := dbtest.NewPostgreSQL(t)
	url := primary.Database(t)
	standby := primary.Standby(t)
	l := startLoad(t, open(t, primary.With(standby, url), Options{}))
	l.progress(t, 500)
	standby.Freeze() // so that commits are open when the primary is killed
	time.Sleep(300 * time.Millisecond)
	primary.Kill()
	standby.Thaw()
	standby.Promote(t)
	l.progress(t, 500)
	l.check(t)
}

// TestMySQLFailover: when a server becomes read-only, the next one is used.
func TestMySQLFailover(t *testing.T) {
	t.Parallel()
	one, two := dbtest.NewMariaDB(t), dbtest.NewMariaDB(t)
	urls := []string{one.Database(t), two.Database(t)}
	for _, url := range urls {
		if _, err := Init(t.Context(), url, Options{}); err != nil {
			t.Fatal(err)
		}
		filled(t, url, "CREATE USER app@'127.0.0.1'", "GRANT ALL ON test1.* TO app@'127.0.0.1'")
	}
	db := open(t, strings.Replace(one.With(two, urls[0]), "root@", "app@", 1), Options{})
	add(t, db.Messages(), text("at the first"))
	filled(t, urls[0], "SET GLOBAL read_only = 1")
	for range 3 {
		add(t, db.Messages(), text("at the second"))
	}
	if got := bodies(next(t, db.Messages(), 0, 10)); strings.Contains(got, "first") || strings.Count(got, "second") != 3 {
		t.Errorf("read %q", got)
	}
	filled(t, urls[1], "SET GLOBAL read_only = 1")
	refused(t, strings.Replace(one.With(two, urls[0]), "root@", "app@", 1), Options{}, "does not accept writes", "db.url")
}

// TestDiskFull: writes that do not fit are refused, acknowledged writes are kept, and
// with space again writes succeed.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if !dbtest.OwnMounts(t) {
		return
	}
	dir := t.TempDir()
	dbtest.SmallDisk(t, dir, "8")
	db := open(t, "sqlite:"+filepath.Join(dir, "silod.db"), Options{})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	acked := 0
	for refused := 0; refused < 20; {
		switch err := db.Messages().Add(t.Context(), text(strings.Repeat("x", 5000))); {
		case errors.Is(err, silo.ErrBusy):
			refused++
		case err != nil || acked > 10000:
			t.Fatal(acked, err)
		default:
			acked++
		}
	}
	if n := len(next(t, db.Messages(), 0, 10000)); n != acked || acked == 0 {
		t.Errorf("%d acknowledged, %d stored", acked, n)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	add(t, db.Messages(), text("again"))
	if n := len(next(t, db.Messages(), 0, 10000)); n != acked+1 {
		t.Errorf("%d acknowledged, %d stored", acked+1, n)
	}
}

func writerTimeout() time.Duration { return ioTimeout[forWriting] }
