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
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// soon is how long a test waits for what must happen: it is far more than needed.
const soon = 20 * time.Second

// eventually polls until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come about", what)
		}
	}
}

// runner is a server of this package.
type runner interface {
	Listen(context.Context) error
	Run(context.Context) error
}

// start runs a server until the test ends, or stop is called.
func start(t *testing.T, s runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("the server ended with %v", err)
			}
		case <-time.After(soon):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func socket(t *testing.T, r *Registry) Socket {
	t.Helper()
	return Socket{Registry: r, Log: slog.New(slog.DiscardHandler), Path: filepath.Join(t.TempDir(), "run", "mi")}
}

// each runs a test with both kinds of sockets.
func each(t *testing.T, f func(t *testing.T, network string, s Socket, server func(Socket) runner)) {
	t.Run("control", func(t *testing.T) {
		f(t, "unix", socket(t, testRegistry()), func(s Socket) runner { return &ControlServer{Socket: s} })
	})
	t.Run("datagram", func(t *testing.T) {
		f(t, "unixgram", socket(t, testRegistry()), func(s Socket) runner { return &DatagramServer{Socket: s} })
	})
}

// TestSocketFile: made under the wanted rights, with its directory, and gone at
// the end.
func TestSocketFile(t *testing.T) {
	each(t, func(t *testing.T, _ string, s Socket, server func(Socket) runner) {
		s.Access = Access{Mode: 0o640, User: "0", Group: "65534"}
		if os.Geteuid() != 0 {
			s.Access = Access{Mode: 0o640}
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

// TestSocketUmask: whatever the umask, nobody else can connect before the rights
// are set.
func TestSocketUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	s := socket(t, testRegistry())
	if err := s.clear(t.Context(), "unix"); err != nil {
		t.Fatal(err)
	}
	ln, err := s.config(nil).Listen(t.Context(), "unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if info, err := os.Lstat(s.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func TestSocketTaken(t *testing.T) {
	each(t, func(t *testing.T, network string, s Socket, server func(Socket) runner) {
		first := server(s)
		stop := start(t, first)
		for _, other := range []runner{&ControlServer{Socket: s}, &DatagramServer{Socket: s}} {
			if err := other.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "another silod listens at "+s.Path) {
				t.Errorf("a second server: %v", err)
			}
		}
		stop()

		if err := os.WriteFile(s.Path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := server(s).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "is no socket") {
			t.Errorf("a file at its place: %v", err)
		}
		if b, err := os.ReadFile(s.Path); err != nil || string(b) != "precious" {
			t.Errorf("the file has now %q, %v", b, err)
		}
		_ = os.Remove(s.Path)

		stale(t, network, s.Path)
		stop = start(t, server(s))

		// What another puts there is not ours to remove.
		_ = os.Remove(s.Path)
		stale(t, network, s.Path)
		stop()
		if _, err := os.Lstat(s.Path); err != nil {
			t.Errorf("another's socket: %v", err)
		}
	})
	s := socket(t, testRegistry())
	s.Path = filepath.Join(filepath.Dir(s.Path), strings.Repeat("x", 120))
	if err := (&ControlServer{Socket: s}).Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "longer than 107 bytes") {
		t.Errorf("a long path: %v", err)
	}
}

// stale leaves a socket that nobody listens at.
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
	each(t, func(t *testing.T, _ string, s Socket, server func(Socket) runner) {
		s.ReadOnly = true
		start(t, server(s))
		c, err := Dial(t.Context(), Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "which"); err != nil {
			t.Error(err)
		}
		_, err = c.Call(t.Context(), "ul_rm", Arg{Value: "location"}, Arg{Value: "bob"})
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != 403 {
			t.Errorf("a change: %v", err)
		}
	})
}

// TestSocketPeer: the log says who made a change.
func TestSocketPeer(t *testing.T) {
	log := &lockedBuffer{}
	s := socket(t, loggedRegistry(slog.NewTextHandler(log, nil)))
	for _, server := range []runner{&ControlServer{Socket: s}, &DatagramServer{Socket: s}} {
		stop := start(t, server)
		c, err := Dial(t.Context(), Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "ul_rm", Arg{Value: "location"}, Arg{Value: "bob"}); err != nil {
			t.Fatal(err)
		}
		stop()
	}
	want := fmt.Sprintf("uid=%d pid=%d", os.Getuid(), os.Getpid())
	if got := log.String(); strings.Count(got, "command=ul_rm peer=\""+want+"\"") != 2 {
		t.Errorf("the log lacks %s twice: %s", want, got)
	}
}

// lockedBuffer is a log that is written and read at one time.
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
