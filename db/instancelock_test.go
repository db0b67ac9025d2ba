package db

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// TestOneSilodAtATime: a second silod is refused until the first one has ended. When the
// server has ended the session, the lock is acquired again, unless another silod was
// faster.
func TestOneSilodAtATime(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			first, second, watcher := open(t, url, Options{}), open(t, url, Options{}), open(t, url, Options{})
			if err := first.AcquireLock(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := open(t, e.fresh(t), Options{}).AcquireLock(t.Context()); err != nil {
				t.Errorf("another database of the server: %v", err)
			}
			if err := second.AcquireLock(t.Context()); !errors.Is(err, errInUse) {
				t.Errorf("AcquireLock of the second one: %v", err)
			}
			first.lock.interval = 200 * time.Millisecond
			running := make(chan error, 1)
			go func() { running <- first.Run(t.Context()) }()
			endHolder(t, e, watcher)
			for holder(t, e, watcher) == 0 {
				time.Sleep(time.Millisecond)
			}

			for second.lock.acquire(t.Context()) != nil {
				endHolder(t, e, watcher) // the first one
			}
			if err := <-running; !errors.Is(err, errInUse) {
				t.Errorf("Run of the first one: %v", err)
			}
			closeDB(t, second)
			if err := first.AcquireLock(t.Context()); err != nil {
				t.Errorf("when all others are gone: %v", err)
			}
		})
	}
}

// After the server did not answer for a time, the lock may still belong to the former session
// of the same silod, which the server ends a moment later.
func TestLockOfFormerSession(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url := e.fresh(t)
			first, former, watcher := open(t, url, Options{}), open(t, url, Options{}), open(t, url, Options{})
			if err := first.AcquireLock(t.Context()); err != nil {
				t.Fatal(err)
			}
			own := holder(t, e, watcher)
			first.lock.interval = 200 * time.Millisecond
			endHolder(t, e, watcher)
			if err := former.AcquireLock(t.Context()); err != nil {
				t.Fatal(err)
			}
			running := make(chan error, 1)
			go func() { running <- first.Run(t.Context()) }()
			select {
			case err := <-running:
				t.Fatalf("Run ended while the former session was there: %v", err)
			case <-time.After(time.Second):
			}
			closeDB(t, former)
			for now := holder(t, e, watcher); now == 0 || now == own; now = holder(t, e, watcher) {
				time.Sleep(10 * time.Millisecond)
			}
			select {
			case err := <-running:
				t.Errorf("Run ended: %v", err)
			default:
			}
		})
	}
}

// holder returns the session that holds the lock, 0 for none.
func holder(t *testing.T, e engine, db *DB) int64 {
	t.Helper()
	text := map[string]string{
		"postgres": "SELECT COALESCE(MAX(l.pid), 0) FROM pg_locks l JOIN pg_database d ON d.oid = l.database " +
			"WHERE l.locktype = 'advisory' AND l.classid = 5060 AND l.objid = 1 AND l.granted AND d.datname = current_database()",
		"mariadb": "SELECT COALESCE(IS_USED_LOCK(CONCAT('silod.', DATABASE())), 0)",
	}[e.name]
	v := rawValue(t, db, text)
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	id, err := strconv.ParseInt(fmt.Sprint(v), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// endHolder makes the server end that session.
func endHolder(t *testing.T, e engine, db *DB) {
	t.Helper()
	if id := holder(t, e, db); id != 0 {
		end := map[string]string{"postgres": "SELECT pg_terminate_backend(%d)", "mariadb": "KILL %d"}[e.name]
		if _, err := db.reader.pool.ExecContext(t.Context(), fmt.Sprintf(end, id)); err != nil {
			t.Logf("session %d: %v", id, err) // has ended already
		}
	}
}
