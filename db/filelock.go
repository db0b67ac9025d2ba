package db

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// A fileLock is a file that is locked by flock(2). The lock ends with the process, so that it
// is never stale. The file has the number of the process, for error messages.
type fileLock struct{ f *os.File }

// lockFile locks a database by the file at path. The file is not removed: otherwise two
// processes could lock two files of that name.
func lockFile(path, database string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w; create the directory or give the user that runs silod the right to write there", path, cause(err))
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = lockedError(f, database)
		f.Close()
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return &fileLock{f}, nil
}

// lockedError returns the error for a database that another process has locked.
func lockedError(f *os.File, database string) error {
	holder := "another process"
	if pid, _ := io.ReadAll(io.LimitReader(f, 20)); len(pid) > 0 {
		holder = "process " + strings.TrimSpace(string(pid))
	}
	return fmt.Errorf("database %s is in use by %s: stop it, or set another db.url", database, holder)
}

// refuseLocked returns an error if a process holds the lock of a database. It creates no file.
func refuseLocked(path, database string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // no silod has used it
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return lockedError(f, database)
	}
	return syscall.Flock(int(f.Fd()), syscall.LOCK_UN)
}

// close unlocks and closes the file. To close it would not be enough: a child process that
// is being started has the file open until it executes its program.
func (l *fileLock) close() error {
	if l == nil || l.f == nil {
		return nil
	}
	err := errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
	l.f = nil
	return err
}
