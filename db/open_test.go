package db

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// refused opens a database that cannot be opened, and checks that the error is one line
// that says what to do.
func refused(t *testing.T, url string, o Options, words ...string) {
	t.Helper()
	db, err := Open(t.Context(), url, o)
	if err == nil {
		closeDB(t, db)
		t.Fatalf("%s was opened", url)
	}
	t.Log(err)
	for _, w := range append(words, ":") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

func TestOpenRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "text")
	if err := os.WriteFile(file, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "sqlite:"+file, Options{}, file, "not an SQLite database", "db.url")
	refused(t, "sqlite:"+filepath.Join(file, "x.db"), Options{}, "not a directory", "db.url")
	refused(t, "sqlite:"+dir, Options{}, dir, "add the name of a file")
	refused(t, "sqlite:", Options{}, "sqlite:PATH")
	refused(t, "/var/lib/silod.db", Options{}, "sqlite:PATH")
	refused(t, "oracle:secret@host", Options{}, "oracle")
	refused(t, "sqlite:"+filepath.Join(dir, "a.db"), Options{SiloTable: "silo; DROP TABLE x"}, "letters")
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "sub", "a b%20?.db")
	db := open(t, url, Options{})
	refused(t, url, Options{}, "in use by process", "db.url")
	_, lines := child(t, "open", url)
	if line := <-lines; !strings.Contains(line, "in use by process") {
		t.Errorf("another process: %q", line)
	}
	add(t, db.Messages(), text("x"))
	closeDB(t, db)
	db = open(t, url, Options{}) // the lock is not stale
	if got := bodies(next(t, db.Messages(), 0, 10)); got != "x" {
		t.Errorf("found %q", got)
	}
}

func TestOpenWithoutRights(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root to run as a user without rights")
	}
	dir, err := os.MkdirTemp("/tmp", "silod-db-") //nolint:usetesting // t.TempDir is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary := filepath.Join(dir, "test")
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(binary, data, 0o700)
	}
	if err == nil {
		err = os.Chmod(binary, 0o755)
	}
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	unprivileged := func(cmd *exec.Cmd) {
		cmd.Path = binary
		cmd.Dir = "/"
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	for path, words := range map[string][]string{
		filepath.Join(dir, "x.db"):       {dir, "permission denied", "the user that runs silod"},
		filepath.Join(dir, "no", "x.db"): {dir, "permission denied", "the user that runs silod"},
	} {
		_, lines := child(t, "open", "sqlite:"+path, unprivileged)
		line := <-lines
		t.Log(line)
		for _, w := range words {
			if !strings.Contains(line, w) {
				t.Errorf("%q does not say %q", line, w)
			}
		}
	}
}

// TestLockEndsWithClose: closing ends the lock, although a child that was just forked
// still has the file open.
func TestLockEndsWithClose(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "silod.db")
	db := open(t, url, Options{})
	fd, err := syscall.Dup(int(db.layout.dialect.(*sqliteDB).lock.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	closeDB(t, db)
	closeDB(t, open(t, url, Options{}))
}
