package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"silod/mi"
	"silod/mi/internal/mitest"
	"silod/mi/socket"
)

const soon = mitest.Soon

var start = mitest.Start

func registry() *mi.Registry { return mitest.Registry(slog.DiscardHandler) }

// options returns options for a socket in a directory of its own.
func options(t *testing.T, r *mi.Registry) socket.Options {
	t.Helper()
	return socket.Options{Registry: r, Log: slog.New(slog.DiscardHandler), Path: filepath.Join(t.TempDir(), "run", "mi")}
}

// each runs a test with both types of sockets.
func each(t *testing.T, f func(t *testing.T, s socket.Options, server func(socket.Options) mitest.Server)) {
	t.Run("control", func(t *testing.T) {
		f(t, options(t, registry()), func(s socket.Options) mitest.Server { return socket.NewControl(s) })
	})
	t.Run("datagram", func(t *testing.T) {
		f(t, options(t, registry()), func(s socket.Options) mitest.Server { return socket.NewDatagram(s) })
	})
}

// stale leaves a socket on which no process listens.
func stale(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestClient: the same calls over both types of sockets.
func TestClient(t *testing.T) {
	each(t, func(t *testing.T, s socket.Options, server func(socket.Options) mitest.Server) {
		start(t, server(s))
		c, err := Dial(t.Context(), Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()

		n, err := c.Call(t.Context(), "imc_list_members", mi.Arg{Value: "sip:chat-001@example.test"})
		if err != nil {
			t.Fatal(err)
		}
		room := n.Nodes[0]
		if room.Name != "ROOM" || room.Value != "sip:chat-001@example.test" || room.Attrs[0] != (mi.Attr{Name: "NR_OF_MEMBERS", Value: int64(2)}) || len(room.Nodes) != 2 {
			t.Errorf("got %+v", room)
		}
		// Arguments that need quoting, by name and by position.
		hard := []string{"", " a ", "\"", "a\nb\r\n", `\`, ":pwd:x", "ä\u2028", "{}"}
		var args []mi.Arg
		for _, h := range hard {
			args = append(args, mi.Arg{Name: "word", Value: h})
		}
		for range 2 {
			n, err := c.Call(t.Context(), "echo", args...)
			if err != nil {
				t.Fatal(err)
			}
			for i, h := range hard {
				if n.Nodes[i].Value != h {
					t.Errorf("%q came back as %q", h, n.Nodes[i].Value)
				}
				args[i].Name = ""
			}
		}

		_, err = c.Call(t.Context(), "imc_list_members", mi.Arg{Value: "x"})
		if e, ok := errors.AsType[*mi.Error](err); !ok || *e != (mi.Error{Code: 404, Text: "no such room"}) {
			t.Errorf("a refusal: %v", err)
		}
		for want, command := range map[error]string{mi.ErrNoCommand: "nosuch", mi.ErrArguments: "imc_list_members", mi.ErrFailed: "crash"} {
			if _, err := c.Call(t.Context(), command); !errors.Is(err, want) {
				t.Errorf("%s: %v", command, err)
			}
		}

		rows := 0
		for n, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: "50"}) {
			if err != nil || n.Value != int64(rows) {
				t.Fatalf("row %d: %v, %v", rows, n, err)
			}
			rows++
		}
		if rows != 50 {
			t.Errorf("%d rows", rows)
		}
		for _, err := range c.Stream(t.Context(), "nosuch") {
			if !errors.Is(err, mi.ErrNoCommand) {
				t.Errorf("a refused stream: %v", err)
			}
		}

		var out bytes.Buffer
		if err := c.Raw(t.Context(), &out, "imc_list_rooms"); err != nil || !strings.HasPrefix(out.String(), "200 OK\nROOM::  URI=") {
			t.Errorf("got %q, %v", &out, err)
		}
		out.Reset()
		if err := c.Raw(t.Context(), &out, "imc_list_members", mi.Arg{Value: "x"}); !errors.Is(err, mi.Errorf(404, "no such room")) || out.Len() > 0 {
			t.Errorf("a refusal: %q, %v", &out, err)
		}
	})
}

func TestClientConcurrently(t *testing.T) {
	each(t, func(t *testing.T, s socket.Options, server func(socket.Options) mitest.Server) {
		start(t, server(s))
		c, err := Dial(t.Context(), Target{Socket: s.Path, Timeout: soon})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				word := fmt.Sprint("word", i)
				n, err := c.Call(t.Context(), "echo", mi.Arg{Value: word})
				if err != nil || n.Nodes[0].Value != word {
					t.Errorf("%s: %v, %v", word, n, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestClientLongReplies: a list over the control socket may have any length, and an error at
// its end. A client that stops reading ends the command.
func TestClientLongReplies(t *testing.T) {
	ended := make(chan struct{})
	r := registry()
	r.Add(mi.Command{Name: "endless", Run: func(ctx context.Context, _ *mi.Request) (*mi.Node, error) {
		return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
			defer close(ended)
			for i := 0; ctx.Err() == nil && yield(&mi.Node{Value: i}, nil); i++ {
			}
		}}, nil
	}})
	s := options(t, r)
	start(t, socket.NewControl(s))
	c, err := Dial(t.Context(), Target{Socket: s.Path, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	const many = 50_000
	rows := 0
	for n, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: fmt.Sprint(many)}, mi.Arg{Value: fmt.Sprint(many - 1)}) {
		if rows == many-1 {
			if !errors.Is(err, mi.ErrFailed) {
				t.Errorf("at the end: %v", err)
			}
			break
		}
		if err != nil || n.Value != int64(rows) {
			t.Fatalf("row %d: %v, %v", rows, n, err)
		}
		rows++
	}
	var out bytes.Buffer
	if err := c.Raw(t.Context(), &out, "rows", mi.Arg{Value: fmt.Sprint(many)}); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != many+1 {
		t.Errorf("got %d lines, %v", bytes.Count(out.Bytes(), []byte("\n")), err)
	}
	for n, err := range c.Stream(t.Context(), "endless") {
		if err != nil || n.Value == int64(100) {
			break
		}
	}
	select {
	case <-ended:
	case <-time.After(soon):
		t.Error("the command goes on without its client")
	}
}

// TestClientUnreachable: the error wraps ErrUnreachable if there is no daemon, or no reply.
func TestClientUnreachable(t *testing.T) {
	s := options(t, registry())
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale(t, s.Path)
	for name, target := range map[string]Target{
		"no address":         {},
		"no such file":       {Socket: filepath.Join(dir, "nosuch")},
		"without a listener": {Socket: s.Path},
		"not a socket":       {Socket: file},
		"no such FIFO":       {FIFO: filepath.Join(dir, "nosuch")},
		"not a FIFO":         {FIFO: file},
	} {
		if _, err := Dial(t.Context(), target); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A daemon that accepts requests and never replies, with both types of sockets.
	_ = os.Remove(s.Path)
	ln, err := net.Listen("unix", s.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	pc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "d"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	for _, path := range []string{s.Path, filepath.Join(dir, "d")} {
		c, err := Dial(t.Context(), Target{Socket: path, Timeout: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no answer to pwd in time") {
			t.Errorf("%s: a daemon that does not reply: %v", path, err)
		}
		c, err = Dial(t.Context(), Target{Socket: path, Timeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := c.Call(ctx, "pwd"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: the caller's deadline: %v", path, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := c.Call(ctx, "pwd"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: the caller canceled: %v", path, err)
		}
	}

	// A daemon that ends in the middle of its reply.
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(`{"jsonrpc":"2.0","result":{"nodes":[{"name":"a"}`))
			_ = c.Close()
		}
	}()
	c, err := Dial(t.Context(), Target{Socket: s.Path, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("a daemon that dies: %v", err)
	}
}

// TestClientOpensOneConnection: the first command uses the connection with which Dial found
// the socket's type, and each further command opens one.
func TestClientOpensOneConnection(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	accepted := acceptCounted(t, path, 0)
	for commands := range 4 {
		accepted.Store(0)
		c, err := Dial(t.Context(), Target{Socket: path, Timeout: soon})
		if err != nil {
			t.Fatal(err)
		}
		for range commands {
			if n, err := c.Call(t.Context(), "pwd"); err != nil || n.Value != "reply" {
				t.Errorf("got %v, %v", n, err)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		want := int32(max(1, commands))
		mitest.Eventually(t, "accepting the connections", func() bool { return accepted.Load() >= want })
		if got := accepted.Load(); got != want {
			t.Errorf("%d commands opened %d connections, want %d", commands, got, want)
		}
	}
}

// TestClientConnectionClosedBeforeUse: a daemon that has closed Dial's connection before
// the first command, as after a long pause or a restart, gets that command over another.
func TestClientConnectionClosedBeforeUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control")
	accepted := acceptCounted(t, path, 1)
	c, err := Dial(t.Context(), Target{Socket: path, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.dialed.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Fatalf("the first connection: %v", err)
	}
	if n, err := c.Call(t.Context(), "pwd"); err != nil || n.Value != "reply" || accepted.Load() != 2 {
		t.Errorf("got %v, %v over %d connections", n, err, accepted.Load())
	}
}

// acceptCounted is a daemon that replies to one request on each connection, but closes the
// first ones at once. It returns the number of connections that it has accepted.
func acceptCounted(t *testing.T, path string, closed int32) *atomic.Int32 {
	t.Helper()
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	var accepted atomic.Int32
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if accepted.Add(1) <= closed {
				_ = c.Close()
				continue
			}
			go func() {
				defer c.Close()
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					_, _ = io.WriteString(c, `{"jsonrpc":"2.0","result":{"value":"reply"},"id":1}`+"\n")
				}
			}()
		}
	}()
	return &accepted
}

// BenchmarkControl measures one command over the control socket, from connecting to the
// decoded reply.
func BenchmarkControl(b *testing.B) {
	r := registry()
	dir := b.TempDir()
	s := socket.NewControl(socket.Options{Registry: r, Log: slog.New(slog.DiscardHandler), Path: filepath.Join(dir, "c")})
	if err := s.Listen(b.Context()); err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Run(b.Context()) }()
	c, err := Dial(b.Context(), Target{Socket: filepath.Join(dir, "c")})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Call(b.Context(), "imc_list_members", mi.Arg{Value: "sip:chat-001@example.test"}); err != nil {
			b.Fatal(err)
		}
	}
}
