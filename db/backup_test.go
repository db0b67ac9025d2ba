package db

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"silod/db/dbtest"
	"silod/silo"
)

// A backup that is made while messages are stored has all those that were acknowledged before
// it began, and can be opened like the original.
func TestBackup(t *testing.T) {
	url := engines[0].fresh(t)
	db := open(t, url, Options{})
	stock(t, db)
	var stored atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := db.Messages().Add(t.Context(), text("meanwhile")); err != nil {
				ended <- err
				return
			}
			stored.Add(1)
		}
		ended <- nil
	}()
	for stored.Load() < 50 {
		runtime.Gosched()
	}
	before := countAll(t, db.Messages())
	file := filepath.Join(t.TempDir(), "a copy?.db")
	reports := 0
	if err := Backup(t.Context(), url, Options{}, file, func(p Progress) {
		if reports++; p.What != "pages" || p.Done < 1 || p.Done > p.Total {
			t.Errorf("progress is %v", p)
		}
	}); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 || reports == 0 {
		t.Errorf("backup: %v, %v after %d reports", info, err, reports)
	}
	if left, _ := filepath.Glob(filepath.Dir(file) + "/*"); len(left) != 1 {
		t.Errorf("files are left: %q", left)
	}
	copied := open(t, "sqlite:"+file, Options{})
	if n := countAll(t, copied.Messages()); n < before || n > countAll(t, db.Messages()) {
		t.Errorf("the backup has %d messages, there were %d before it began", n, before)
	}
	if got := rawValue(t, copied, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("integrity_check: %v", got)
	}
	if _, err := copied.Users().Lookup(t.Context(), bob); err != nil {
		t.Error(err)
	}
}

// A backup that cannot be made leaves no file and overwrites none.
func TestBackupFails(t *testing.T) {
	url := engines[0].fresh(t)
	stock(t, open(t, url, Options{}))
	dir := t.TempDir()
	existing := filepath.Join(dir, "existing.db")
	if err := os.WriteFile(existing, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	defer stop()
	for _, c := range []struct {
		name string
		ctx  context.Context
		url  string
		file string
		want string
	}{
		{"a file that exists", t.Context(), url, existing, "exists already"},
		{"a directory that does not exist", t.Context(), url, filepath.Join(dir, "no/such/x.db"), "no such file"},
		{"interrupted", stopped, url, filepath.Join(dir, "interrupted.db"), context.Canceled.Error()},
		{"no database", t.Context(), "sqlite:" + filepath.Join(dir, "none.db"), filepath.Join(dir, "x.db"), "is missing"},
		{"db_text", t.Context(), "text:" + dir, filepath.Join(dir, "x.db"), "a copy of the directory"},
		{"PostgreSQL", t.Context(), "postgres://silod@127.0.0.1:1/silod", filepath.Join(dir, "x.db"), "pg_dump"},
		{"MariaDB", t.Context(), "mysql://silod@127.0.0.1:1/silod", filepath.Join(dir, "x.db"), "mariadb-dump"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Backup(c.ctx, c.url, Options{}, c.file, func(Progress) { stop() })
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if err := Backup(stopped, url, Options{}, filepath.Join(dir, "y.db"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before it began: %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	if data, _ := os.ReadFile(existing); string(data) != "precious" {
		t.Errorf("the file that existed has now %q", data)
	}
}

// countAll returns the number of messages of a store.
func countAll(t *testing.T, st silo.Store) int {
	t.Helper()
	n, err := st.Tally(t.Context(), silo.Query{Both: true})
	if err != nil {
		t.Fatal(err)
	}
	return n.Messages + n.Reminders
}

// TestBackupFullDisk: a backup without space names its own disk, and leaves no file there.
func TestBackupFullDisk(t *testing.T) {
	if !dbtest.OwnMounts(t) {
		return
	}
	url := engines[0].fresh(t)
	from, dir := open(t, url, Options{}), t.TempDir()
	dbtest.SmallDisk(t, dir, "1")
	rawExec(t, from, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) "+
		"INSERT INTO silo (username, domain, body) SELECT 'bob', 'example.org', zeroblob(1000) FROM n")
	closeDB(t, from)
	err := Backup(t.Context(), url, Options{}, filepath.Join(dir, "b.db"), nil)
	if err == nil || !strings.Contains(err.Error(), "b.db: no space left") {
		t.Errorf("backup: %v", err)
	}
	if left := ls(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
