package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"silod/mi"
)

// maxPath is the length of the longest path in a Unix socket address.
const maxPath = 107

// file is the file of a socket.
type file struct {
	path   string
	access mi.Access
	log    *slog.Logger
	made   fs.FileInfo // of the socket that create created at path
}

// newFile returns the file that the options name. It does not create it.
func newFile(o *Options) file { return file{path: o.Path, access: o.Access, log: o.Log} }

// listenConfig returns a configuration for sockets that no other user can connect to
// before the access rights are set: on Linux the file takes the mode of the unbound
// socket. set, where it is not nil, is called with the unbound socket too.
func listenConfig(set func(fd uintptr) error) *net.ListenConfig {
	return &net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			if err = syscall.Fchmod(int(fd), 0o600); errors.Is(err, syscall.EINVAL) {
				err = nil // not supported by this system
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

// create creates the socket at the path with listen, and sets its access rights. If that
// fails, no socket is left behind.
func (f *file) create(ctx context.Context, network string, listen func() (io.Closer, error)) error {
	if err := f.clear(ctx, network); err != nil {
		return err
	}
	socket, err := listen()
	if err != nil {
		return err
	}
	if err := f.finish(); err != nil {
		_ = socket.Close()
		f.remove()
		return err
	}
	return nil
}

// clear prepares the path for a new socket: it creates a missing directory and removes
// the socket of a daemon that has ended. It never removes anything else.
func (f *file) clear(ctx context.Context, network string) error {
	if len(f.path) > maxPath {
		return fmt.Errorf("socket path %s is longer than %d bytes: set a shorter one", f.path, maxPath)
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("create the directory of %s: %w", f.path, err)
	}
	info, err := os.Lstat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is not a socket: remove it, or set another path", f.path)
	}
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, network, f.path)
	if err == nil {
		_ = c.Close()
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return mi.RemoveMade(f.path, info)
	case err == nil, errors.Is(err, syscall.EPROTOTYPE): // the latter: a live socket of the other type
		return fmt.Errorf("another silod is listening on %s: stop it, or set another path", f.path)
	}
	return fmt.Errorf("check for another silod on %s: %w", f.path, err)
}

// finish sets the access rights of the new socket.
func (f *file) finish() error {
	info, err := os.Lstat(f.path)
	if err != nil {
		return err
	}
	f.made = info
	return f.access.Apply(f.path)
}

// remove removes the socket, unless another file has replaced it.
func (f *file) remove() {
	if err := mi.RemoveMade(f.path, f.made); err != nil {
		f.log.Warn("management socket not removed", "path", f.path, "error", err)
	}
}
