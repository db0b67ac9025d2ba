package fifo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"silod/mi"
)

// soon is how long a test waits for an event that must happen. It is far more than needed.
const soon = 20 * time.Second

func registry() *mi.Registry {
	r := mi.NewRegistry(slog.New(slog.DiscardHandler))
	c := &mi.Core{Registry: r, Name: "silod", Version: "1.0.0", Started: time.Now(), Level: new(slog.LevelVar)}
	r.Add(c.Commands()...)
	r.Add(
		mi.Command{Name: "echo", Args: "WORD...", MaxArgs: -1, Run: func(_ context.Context, req *mi.Request) (*mi.Node, error) {
			n := &mi.Node{List: true}
			for _, a := range req.Args {
				n.Add("", a.Value)
			}
			return n, nil
		}},
		mi.Command{Name: "rows", Args: "N", MinArgs: 1, MaxArgs: 1, Run: func(_ context.Context, req *mi.Request) (*mi.Node, error) {
			var n int
			if _, err := fmt.Sscan(req.Arg(0), &n); err != nil {
				return nil, mi.Errorf(400, "Bad parameter")
			}
			return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
				for i := range n {
					if !yield(&mi.Node{Name: "ROW", Value: i}, nil) {
						return
					}
				}
			}}, nil
		}},
		mi.Command{Name: "ul_rm", Args: "TABLE AOR", MinArgs: 2, MaxArgs: 2, Writes: true, Run: func(context.Context, *mi.Request) (*mi.Node, error) { return nil, nil }},
	)
	return r
}

// rig is a server in a directory of its own, with its log.
type rig struct {
	*Server
	Options
	t    *testing.T
	log  *log
	stop func() error
}

type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t *testing.T, change func(*Options)) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, log: &log{}}
	r.Options = Options{
		Registry:      registry(),
		Log:           slog.New(slog.NewTextHandler(r.log, nil)),
		Path:          filepath.Join(dir, "run", "mi", "silod_fifo"),
		ReplyDir:      dir,
		CheckInterval: 20 * time.Millisecond,
		OpenTimeout:   time.Second,
		Timeout:       time.Second,
	}
	if change != nil {
		change(&r.Options)
	}
	r.Server = NewServer(r.Options)
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(soon):
			return errors.New("the server does not end")
		}
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return r
}

// write writes to the request FIFO, as a client does.
func (r *rig) write(pieces ...string) {
	r.t.Helper()
	f, err := os.OpenFile(r.Path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	_ = f.SetWriteDeadline(time.Now().Add(soon))
	for _, p := range pieces {
		if _, err := f.WriteString(p); err != nil {
			r.t.Fatal(err)
		}
	}
}

// client is a reply FIFO with a reader.
type client struct {
	t       *testing.T
	name    string
	in, own *os.File // own is a writer until the daemon has opened the FIFO
}

func (r *rig) client(name string) *client {
	r.t.Helper()
	path := filepath.Join(r.ReplyDir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		r.t.Fatal(err)
	}
	c := &client{t: r.t, name: name}
	var err error
	if c.in, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
		r.t.Fatal(err)
	}
	if c.own, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.in.Close(); _ = c.own.Close() })
	return c
}

// reply reads up to the end of the file.
func (c *client) reply() string {
	c.t.Helper()
	_ = c.in.SetReadDeadline(time.Now().Add(soon))
	first := make([]byte, 1)
	if _, err := io.ReadFull(c.in, first); err != nil {
		c.t.Fatalf("reply to %s: %v", c.name, err)
	}
	_ = c.own.Close()
	rest, err := io.ReadAll(c.in)
	if err != nil {
		c.t.Fatalf("reply to %s: %v", c.name, err)
	}
	return string(first) + string(rest)
}

var clients atomic.Int64

// ask sends one request, in which %s stands for the reply FIFO's name.
func (r *rig) ask(request string) string {
	r.t.Helper()
	name := fmt.Sprintf("reply_%d", clients.Add(1))
	c := r.client(name)
	defer os.Remove(filepath.Join(r.ReplyDir, name))
	r.write(strings.ReplaceAll(request, "%s", name))
	return c.reply()
}

// serves fails the test unless the next command is answered.
func (r *rig) serves() {
	r.t.Helper()
	if got := r.ask(":pwd:%s\n\n"); !strings.HasPrefix(got, "200 OK\nWD:: ") {
		r.t.Errorf("the next command is answered %q", got)
	}
}

func (r *rig) logged(text string) {
	r.t.Helper()
	for end := time.Now().Add(soon); !strings.Contains(r.log.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("the log lacks %q: %s", text, r.log)
		}
	}
}
