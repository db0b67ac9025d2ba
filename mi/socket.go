package mi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// maxPath is what fits into a Unix socket address.
const maxPath = 107

// Socket is a Unix socket that serves the commands of a Registry: what the
// ControlServer and the DatagramServer have in common.
type Socket struct {
	Registry *Registry
	Log      *slog.Logger
	Path     string
	Access   Access
	ReadOnly bool // refuse commands that change something

	made fs.FileInfo // what was made at Path
}

// known tells whether the registry has a command.
func (s *Socket) known(command string) bool {
	_, ok := s.Registry.Lookup(command)
	return ok
}

// service answers what this socket reads.
func (s *Socket) service(t Transport) *Service {
	return &Service{Registry: s.Registry, Transport: t, ReadOnly: s.ReadOnly}
}

// config makes a socket that nobody else may connect to before Access is applied:
// on Linux the mode of an unbound socket becomes that of its file.
func (s *Socket) config(set func(fd uintptr) error) *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			if err = syscall.Fchmod(int(fd), 0o600); errors.Is(err, syscall.EINVAL) {
				err = nil // not on this system
			}
			if err == nil && set != nil {
				err = set(fd)
			}
		}); cerr != nil {
			return cerr
		}
		return err
	}}
}

// clear makes way at Path: the directory is made where it is missing, and the
// socket of a daemon that is gone is removed. It never touches anything else.
func (s *Socket) clear(ctx context.Context, network string) error {
	if len(s.Path) > maxPath {
		return fmt.Errorf("socket path %s is longer than %d bytes: name a shorter one", s.Path, maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return fmt.Errorf("make the directory of %s: %w", s.Path, err)
	}
	info, err := os.Lstat(s.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is no socket: remove it, or name another path", s.Path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, network, s.Path)
	if err == nil {
		_ = c.Close()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return RemoveMade(s.Path, info)
	case err == nil, errors.Is(err, syscall.EPROTOTYPE): // the latter: a live socket of the other kind
		return fmt.Errorf("another silod listens at %s: stop it, or name another path", s.Path)
	}
	return fmt.Errorf("find out whether another silod listens at %s: %w", s.Path, err)
}

// finish applies the access rights to the new socket.
func (s *Socket) finish() error {
	info, err := os.Lstat(s.Path)
	if err != nil {
		return err
	}
	s.made = info
	return s.Access.Apply(s.Path)
}

// remove unlinks the socket, unless another has taken its place.
func (s *Socket) remove() {
	if err := RemoveMade(s.Path, s.made); err != nil {
		s.Log.Warn("management socket not removed", "path", s.Path, "error", err)
	}
}
