package fifo

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"silod/mi"
)

// create makes the request FIFO. It is made under another name and moved to Path
// when it is ready: nobody ever finds it with other rights than it shall have, or
// nobody reading.
func (s *Server) create() error {
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the request FIFO: %w", err)
	}
	if err := s.vacant(); err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+filepath.Base(s.Path)+"."+rand.Text()[:8])
	if err := syscall.Mkfifo(tmp, 0o600); err != nil {
		return fmt.Errorf("make the request FIFO %s: %w", s.Path, err)
	}
	file, made, err := s.open(tmp)
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("make the request FIFO %s: %w", s.Path, err)
	}
	s.file, s.made = file, made
	return nil
}

// open opens the new FIFO, gives it its rights and moves it to Path.
func (s *Server) open(tmp string) (*os.File, fs.FileInfo, error) {
	// For reading and writing: then there is always a writer, and no end of file
	// when a client closes.
	file, err := os.OpenFile(tmp, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	made, err := file.Stat()
	if err == nil && !mi.SameFile(tmp, made) {
		err = errors.New("somebody else changed it meanwhile")
	}
	if err == nil {
		err = mi.Access{Mode: s.Mode, User: s.User, Group: s.Group}.Apply(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, s.Path)
	}
	if err == nil {
		made, err = file.Stat() // with its owner and mode as they are now
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, made, nil
}

// vacant tells whether Path may be taken: it is free, or a FIFO that nobody reads.
func (s *Server) vacant() error {
	info, err := os.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return fmt.Errorf("%s is no FIFO: remove it, or name another path", s.Path)
	}
	// Opening for writing without waiting succeeds only if somebody reads.
	fd, err := syscall.Open(s.Path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	switch {
	case err == nil:
		_ = syscall.Close(fd)
		return fmt.Errorf("another silod reads %s: stop it, or name another path", s.Path)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("find out whether another silod reads %s: %w", s.Path, err)
}
