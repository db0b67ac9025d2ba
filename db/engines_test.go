package db

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"silod/db/dbtest"
	"silod/sip"
)

// engine is a database engine that the tests run on.
type engine struct {
	name  string
	fresh func(testing.TB) string // creates an empty database and returns its URL
}

var engines = []engine{
	{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "silod.db") }},
	{"postgres", dbtest.PostgreSQL},
	{"mariadb", dbtest.MariaDB},
}

// textEngine has no SQL for other programs.
var textEngine = engine{"text", func(t testing.TB) string { return "text:" + t.TempDir() }}

// onEach runs a test on a fresh database of every engine.
func onEach(t *testing.T, f func(t *testing.T, db *DB)) {
	t.Helper()
	onEachWith(t, Options{}, f)
}

// onEachWith is onEach for databases with options.
func onEachWith(t *testing.T, o Options, f func(t *testing.T, db *DB)) {
	t.Helper()
	for _, e := range append([]engine{textEngine}, engines...) {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t, e.fresh(t), o))
		})
	}
}

func open(t testing.TB, url string, o Options) *DB {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	}
	db, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

// closeDB closes a database, also one that is closed already.
func closeDB(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// rawExec runs statements as another program would, outside of the writer.
func rawExec(t testing.TB, db *DB, statements ...string) {
	t.Helper()
	pool, err := db.layout.dialect.connect(t.Context(), forSchema) // allows slow statements
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for _, st := range statements {
		if _, err := pool.ExecContext(t.Context(), st); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

// rawValue reads one value as another program would.
func rawValue(t testing.TB, db *DB, text string) any {
	t.Helper()
	var v any
	if err := db.reader.pool.QueryRowContext(context.Background(), text).Scan(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func aor(s string) sip.AoR {
	a, err := sip.ParseAoR(s)
	if err != nil {
		panic(err)
	}
	return a
}

// noon is a whole second, as are the times in the tables.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
