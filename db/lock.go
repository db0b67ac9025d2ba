package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// lockFile takes a database's lock, which ends with the process, so that it is never stale.
// The file stays where it is: removing it would let two processes lock two files
// of that name.
func lockFile(path, database string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w; create the directory or give the user that runs silod the right to write there", path, cause(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		who := "another process"
		if pid, _ := io.ReadAll(io.LimitReader(f, 20)); len(pid) > 0 {
			who = "process " + strings.TrimSpace(string(pid))
		}
		f.Close()
		return nil, fmt.Errorf("database %s is in use by %s: stop that, or set another db.url", database, who)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return lock{f}, nil
}

// lock is a lock file that is locked.
type lock struct{ f *os.File }

// Close unlocks, and does not leave that to the end of the file: a process that is
// being started may have it open for a moment longer.
func (l lock) Close() error {
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}
