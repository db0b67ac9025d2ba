package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// A fileLock is a locked file. The lock ends with the process, so that it is never stale.
type fileLock struct{ f *os.File }

// lockFile locks a database by the file at path. The file is not removed: otherwise two
// processes could lock two files of that name.
func lockFile(path, database string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w; create the directory or give the user that runs silod the right to write there", path, cause(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := "another process"
		if pid, _ := io.ReadAll(io.LimitReader(f, 20)); len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		f.Close()
		return nil, fmt.Errorf("database %s is in use by %s: stop it, or set another db.url", database, holder)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &fileLock{f}, nil
}

// close unlocks the file. The end of the file would not be enough: a process that is
// being started may have the file open for a moment longer.
func (l *fileLock) close() error {
	if l == nil || l.f == nil {
		return nil
	}
	err := errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
	l.f = nil
	return err
}
