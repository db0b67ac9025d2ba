package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"silod/mi"
	"silod/mi/client"
	"silod/mi/internal/mitest"
)

const soon = mitest.Soon

var (
	start      = mitest.Start
	eventually = mitest.Eventually
)

func registry() *mi.Registry { return mitest.Registry(slog.DiscardHandler) }

// options returns options for a socket in a directory of its own.
func options(t *testing.T, r *mi.Registry) Options {
	t.Helper()
	return Options{Registry: r, Log: slog.New(slog.DiscardHandler), Path: filepath.Join(t.TempDir(), "run", "mi")}
}

// each runs a test with both types of sockets.
func each(t *testing.T, f func(t *testing.T, network string, s Options, server func(Options) mitest.Server)) {
	t.Run("control", func(t *testing.T) {
		f(t, "unix", options(t, registry()), func(s Options) mitest.Server { return NewControl(s) })
	})
	t.Run("datagram", func(t *testing.T) {
		f(t, "unixgram", options(t, registry()), func(s Options) mitest.Server { return NewDatagram(s) })
	})
}

// TestSocketFile: the socket is created with its directory and permissions, and removed at the
// end.
func TestSocketFile(t *testing.T) {
	each(t, func(t *testing.T, _ string, s Options, server func(Options) mitest.Server) {
		s.Access = mi.Access{Mode: 0o640, User: "0", Group: "65534"}
		if os.Geteuid() != 0 {
			s.Access = mi.Access{Mode: 0o640}
		}
		stop := start(t, server(s))
		info, err := os.Lstat(s.Path)
		if err != nil || info.Mode() != fs.ModeSocket|0o640 {
			t.Fatalf("got %v, %v", info.Mode(), err)
		}
		if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 0 || st.Gid != 65534) {
			t.Errorf("it belongs to %d:%d", st.Uid, st.Gid)
		}
		if dir, err := os.Stat(filepath.Dir(s.Path)); err != nil || dir.Mode().Perm() != 0o700 {
			t.Errorf("its directory has %v, %v", dir.Mode(), err)
		}
		stop()
		if _, err := os.Lstat(s.Path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// TestSocketUmask: with any umask, no other user can connect before the permissions are set.
func TestSocketUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	s := options(t, registry())
	f := newFile(&s)
	if err := f.clear(t.Context(), "unix"); err != nil {
		t.Fatal(err)
	}
	ln, err := listenConfig(nil).Listen(t.Context(), "unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if info, err := os.Lstat(s.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestSocketTaken(t *testing.T) {
	each(t, func(t *testing.T, network string, s Options, server func(Options) mitest.Server) {
		first := server(s)
		stop := start(t, first)
		for _, other := range []mitest.Server{NewControl(s), NewDatagram(s)} {
			if err := other.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "another silod is listening on "+s.Path) {
				t.Errorf("a second server: %v", err)
			}
		}
		stop()

		if err := os.WriteFile(s.Path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := server(s).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a socket") {
			t.Errorf("a file at its place: %v", err)
		}
		if b, err := os.ReadFile(s.Path); err != nil || string(b) != "precious" {
			t.Errorf("the file has now %q, %v", b, err)
		}
		_ = os.Remove(s.Path)

		stale(t, network, s.Path)
		stop = start(t, server(s))

		// A socket of another process is not removed.
		_ = os.Remove(s.Path)
		stale(t, network, s.Path)
		stop()
		if _, err := os.Lstat(s.Path); err != nil {
			t.Errorf("another's socket: %v", err)
		}
	})
	s := options(t, registry())
	s.Path = filepath.Join(filepath.Dir(s.Path), strings.Repeat("x", 120))
	if err := NewControl(s).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 107 bytes") {
		t.Errorf("a long path: %v", err)
	}
}

// stale leaves a socket on which no process listens.
func stale(t *testing.T, network, path string) {
	t.Helper()
	var err error
	if network == "unixgram" {
		var c *net.UnixConn
		if c, err = net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network}); err == nil {
			err = c.Close()
		}
	} else {
		var ln *net.UnixListener
		if ln, err = net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network}); err == nil {
			ln.SetUnlinkOnClose(false)
			err = ln.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
}

func TestSocketReadOnly(t *testing.T) {
	each(t, func(t *testing.T, _ string, s Options, server func(Options) mitest.Server) {
		s.ReadOnly = true
		start(t, server(s))
		c, err := client.Dial(t.Context(), client.Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "which"); err != nil {
			t.Error(err)
		}
		_, err = c.Call(t.Context(), "ul_rm", mi.Arg{Value: "location"}, mi.Arg{Value: "bob"})
		if e, ok := errors.AsType[*mi.Error](err); !ok || e.Code != 403 {
			t.Errorf("a change: %v", err)
		}
	})
}

// TestSocketPeer: a change is logged with the peer's user and process.
func TestSocketPeer(t *testing.T) {
	log := &lockedBuffer{}
	s := options(t, mitest.Registry(slog.NewTextHandler(log, nil)))
	for _, server := range []mitest.Server{NewControl(s), NewDatagram(s)} {
		stop := start(t, server)
		c, err := client.Dial(t.Context(), client.Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "ul_rm", mi.Arg{Value: "location"}, mi.Arg{Value: "bob"}); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	want := fmt.Sprintf("uid=%d pid=%d", os.Getuid(), os.Getpid())
	if got := log.String(); strings.Count(got, "command=ul_rm peer=\""+want+"\"") != 2 {
		t.Errorf("the log lacks %s twice: %s", want, got)
	}
}

// lockedBuffer is a log that may be written and read concurrently.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
