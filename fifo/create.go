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

// create creates the request FIFO under another name, and renames it when its permissions
// are set and the server reads it. So no client finds a FIFO that is not ready.
func (s *Server) create() error {
	dir := filepath.Dir(s.opt.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create the directory of the request FIFO: %w", err)
	}
	if err := s.vacant(); err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+filepath.Base(s.opt.Path)+"."+rand.Text()[:8])
	if err := syscall.Mkfifo(tmp, 0o600); err != nil {
		return fmt.Errorf("create the request FIFO %s: %w", s.opt.Path, err)
	}
	file, made, err := s.open(tmp)
	if err != nil {
		_ = os.Remove(tmp)
		return fmt.Errorf("create the request FIFO %s: %w", s.opt.Path, err)
	}
	s.file, s.made = file, made
	return nil
}

// open opens the new FIFO, sets its permissions and renames it to the configured path.
func (s *Server) open(tmp string) (*os.File, fs.FileInfo, error) {
	// Also for writing, as reading would otherwise end when a client closes the FIFO.
	file, err := os.OpenFile(tmp, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	made, err := file.Stat()
	if err == nil && !mi.SameFile(tmp, made) {
		err = errors.New("it was replaced")
	}
	if err == nil {
		err = s.opt.Access.Apply(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, s.opt.Path)
	}
	if err == nil {
		made, err = file.Stat() // with the new owner and mode
	}
	if err != nil {
		_ = file.Close()
		return nil, nil, err
	}
	return file, made, nil
}

// vacant returns an error unless the path is free, or has a FIFO without a reader.
func (s *Server) vacant() error {
	info, err := os.Lstat(s.opt.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeNamedPipe {
		return fmt.Errorf("%s is not a FIFO: remove it, or set another path", s.opt.Path)
	}
	// Opening for writing without waiting succeeds only if there is a reader.
	fd, err := syscall.Open(s.opt.Path, syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	switch {
	case err == nil:
		_ = syscall.Close(fd)
		return fmt.Errorf("another silod reads from %s: stop it, or set another path", s.opt.Path)
	case errors.Is(err, syscall.ENXIO), errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("check for another silod on %s: %w", s.opt.Path, err)
}
