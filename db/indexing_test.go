package db

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// kamailioBusy returns a database of Kamailio in which another program has an open transaction
// that has written table silo, and a pool for further programs.
func kamailioBusy(t *testing.T, e engine) (url string, pool *sql.DB, commit func()) {
	t.Helper()
	url = e.prepared(t, fixture(t, "8", e.name)...)
	d, err := newDialect(url, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	if pool, err = d.connect(t.Context(), forReading); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	tx, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(t.Context(), insertAsOther); err != nil {
		t.Fatal(err)
	}
	return url, pool, func() {
		t.Helper()
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
}

const insertAsOther = "INSERT INTO silo (username, domain, body) VALUES ('other', 'example.org', 'x')"

// opened opens a database and returns the outcome, and a channel with the progress of its
// indexes.
func opened(ctx context.Context, url string, o Options) (<-chan error, <-chan Indexing) {
	done, progress := make(chan error, 1), make(chan Indexing, 1000)
	o.Progress = func(p Indexing) { progress <- p }
	go func() {
		db, err := Open(ctx, url, o)
		if err == nil {
			err = db.Close()
		}
		done <- err
	}()
	return done, progress
}

// untilSilo waits until an index of table silo has been in progress for a while.
func untilSilo(t *testing.T, progress <-chan Indexing) {
	t.Helper()
	for {
		select {
		case p := <-progress:
			if p.Table == "silo" && p.For > 0 {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("no index of table silo is created")
		}
	}
}

// complete checks that a database has all indexes.
func complete(t *testing.T, url string) {
	t.Helper()
	found, err := Check(t.Context(), url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if strings.HasPrefix(f.Table, "index") {
			t.Errorf("%+v", f)
		}
	}
}

// TestIndexesWhileOthersWrite: while the first start creates its indexes on Kamailio's tables,
// and even while it waits for an open transaction, other programs write the tables.
func TestIndexesWhileOthersWrite(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url, pool, commit := kamailioBusy(t, e)
			done, progress := opened(t.Context(), url, Options{})
			untilSilo(t, progress)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for range 3 {
				if _, err := pool.ExecContext(ctx, insertAsOther); err != nil {
					t.Fatalf("another program waits for the index: %v", err)
				}
			}
			commit()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			complete(t, url)
		})
	}
}

// TestIndexesInterrupted: a start that is interrupted while it creates an index ends at once,
// leaves no statement running in the server, and the next start creates the index.
func TestIndexesInterrupted(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url, pool, commit := kamailioBusy(t, e)
			ctx, cancel := context.WithCancel(t.Context())
			done, progress := opened(ctx, url, Options{})
			untilSilo(t, progress)
			cancel()
			select {
			case err := <-done:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("interrupted: %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("does not end")
			}
			running := "SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'CREATE INDEX%'"
			if e.name == "postgres" {
				running = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'CREATE INDEX%'"
			}
			if n, err := scanInts(pool.QueryContext(t.Context(), running)); err != nil || n[0] != 0 {
				t.Errorf("%d statements go on, %v", n, err)
			}
			commit()
			closeDB(t, open(t, url, Options{}))
			complete(t, url)
		})
	}
}

// TestIndexesGiveUp: a start waits for the transactions of other programs for a limited time,
// and then goes on without the index; a later one creates it.
func TestIndexesGiveUp(t *testing.T) {
	t.Parallel()
	for _, e := range engines[1:] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			url, _, commit := kamailioBusy(t, e)
			var log lockedBuffer
			o := Options{Log: slog.New(slog.NewTextHandler(&log, nil)), patience: 100 * time.Millisecond}
			closeDB(t, open(t, url, o))
			if !strings.Contains(log.String(), "index missing") || !strings.Contains(log.String(), "silod_silo_mbox_idx") {
				t.Errorf("log: %s", log.String())
			}
			checkedProblem(t, url, "index silod_silo_mbox_idx", "`siloctl db migrate` creates it")
			commit()
			if _, err := Migrate(t.Context(), url, Options{}); err != nil {
				t.Fatal(err)
			}
			complete(t, url)
		})
	}
}
