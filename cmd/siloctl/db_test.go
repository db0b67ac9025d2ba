package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"silod/db"
	"silod/db/dbtest"
)

// TestCopyToServer copies from a file to PostgreSQL and MariaDB, which is refused while a
// daemon uses one of them.
func TestCopyToServer(t *testing.T) {
	for name, url := range map[string]string{
		"postgres": dbtest.NewPostgreSQL(t).Database(t),
		"mysql":    dbtest.NewMariaDB(t).Database(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := "sqlite:" + filepath.Join(t.TempDir(), "from.db")
			ctl := func(want int, args ...string) string {
				t.Helper()
				var out, stderr bytes.Buffer
				if code := run(t.Context(), append([]string{"db"}, args...), strings.NewReader(""), &out, &stderr); code != want {
					t.Fatalf("%q exits %d:\n%s%s", args, code, &out, &stderr)
				}
				return out.String() + stderr.String()
			}
			ctl(exitDone, "init", from)
			ctl(exitDone, "init", url)
			daemon, err := db.Open(t.Context(), url, db.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := daemon.AcquireLock(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctl(exitDone, "check", url)
			if got := ctl(exitRefused, "copy", from, url); !strings.Contains(got, "in use by another silod") {
				t.Errorf("copied under a daemon: %s", got)
			}
			if err := daemon.Close(); err != nil {
				t.Fatal(err)
			}
			if got := ctl(exitDone, "copy", from, url); !strings.HasSuffix(got, "copied and counted\n") {
				t.Errorf("copied: %s", got)
			}
			ctl(exitDone, "check", url)
		})
	}
}
