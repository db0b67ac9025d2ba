package mi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClient: the same calls over both kinds of sockets.
func TestClient(t *testing.T) {
	each(t, func(t *testing.T, _ string, s Socket, server func(Socket) runner) {
		start(t, server(s))
		c, err := Dial(t.Context(), Target{Socket: s.Path})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()

		n, err := c.Call(t.Context(), "imc_list_members", Arg{Value: "sip:chat-001@example.test"})
		if err != nil {
			t.Fatal(err)
		}
		room := n.Nodes[0]
		if room.Name != "ROOM" || room.Value != "sip:chat-001@example.test" || room.Attrs[0] != (Attr{"NR_OF_MEMBERS", int64(2)}) || len(room.Nodes) != 2 {
			t.Errorf("got %+v", room)
		}
		// Hard arguments, by name and by position.
		hard := []string{"", " a ", "\"", "a\nb\r\n", `\`, ":pwd:x", "ä\u2028", "{}"}
		var args []Arg
		for _, h := range hard {
			args = append(args, Arg{Name: "word", Value: h})
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

		_, err = c.Call(t.Context(), "imc_list_members", Arg{Value: "x"})
		if e, ok := errors.AsType[*Error](err); !ok || *e != (Error{404, "no such room"}) {
			t.Errorf("a refusal: %v", err)
		}
		for want, command := range map[error]string{ErrNoCommand: "nosuch", ErrArguments: "imc_list_members", ErrFailed: "crash"} {
			if _, err := c.Call(t.Context(), command); !errors.Is(err, want) {
				t.Errorf("%s: %v", command, err)
			}
		}

		rows := 0
		for n, err := range c.Stream(t.Context(), "rows", Arg{Value: "50"}) {
			if err != nil || n.Value != int64(rows) {
				t.Fatalf("row %d: %v, %v", rows, n, err)
			}
			rows++
		}
		if rows != 50 {
			t.Errorf("%d rows", rows)
		}
		for _, err := range c.Stream(t.Context(), "nosuch") {
			if !errors.Is(err, ErrNoCommand) {
				t.Errorf("a refused stream: %v", err)
			}
		}

		var out bytes.Buffer
		if err := c.Raw(t.Context(), &out, "imc_list_rooms"); err != nil || !strings.HasPrefix(out.String(), "200 OK\nROOM::  URI=") {
			t.Errorf("got %q, %v", &out, err)
		}
		out.Reset()
		if err := c.Raw(t.Context(), &out, "imc_list_members", Arg{Value: "x"}); !errors.Is(err, Errorf(404, "no such room")) || out.Len() > 0 {
			t.Errorf("a refusal: %q, %v", &out, err)
		}
	})
}

func TestClientConcurrently(t *testing.T) {
	each(t, func(t *testing.T, _ string, s Socket, server func(Socket) runner) {
		start(t, server(s))
		c, err := Dial(t.Context(), Target{Socket: s.Path, Timeout: soon})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				word := fmt.Sprint("word", i)
				n, err := c.Call(t.Context(), "echo", Arg{Value: word})
				if err != nil || n.Nodes[0].Value != word {
					t.Errorf("%s: %v, %v", word, n, err)
				}
			})
		}
		wg.Wait()
	})
}

// TestClientLongReplies: a list of any length comes over the control socket, and
// its error at the end too; a client that has seen enough ends the command.
func TestClientLongReplies(t *testing.T) {
	ended := make(chan struct{})
	r := testRegistry()
	r.Add(Command{Name: "endless", Run: func(ctx context.Context, _ *Request) (*Node, error) {
		return &Node{List: true, Stream: func(yield func(*Node, error) bool) {
			defer close(ended)
			for i := 0; ctx.Err() == nil && yield(&Node{Value: i}, nil); i++ {
			}
		}}, nil
	}})
	s := socket(t, r)
	start(t, &ControlServer{Socket: s})
	c, err := Dial(t.Context(), Target{Socket: s.Path, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	const many = 50_000
	rows := 0
	for n, err := range c.Stream(t.Context(), "rows", Arg{Value: fmt.Sprint(many)}, Arg{Value: fmt.Sprint(many - 1)}) {
		if rows == many-1 {
			if !errors.Is(err, ErrFailed) {
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
	if err := c.Raw(t.Context(), &out, "rows", Arg{Value: fmt.Sprint(many)}); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != many+1 {
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

// TestClientUnreachable: no daemon, or none that answers, is told from a refusal.
func TestClientUnreachable(t *testing.T) {
	s := socket(t, testRegistry())
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stale(t, "unix", s.Path)
	for name, target := range map[string]Target{
		"nothing named": {},
		"no such file":  {Socket: filepath.Join(dir, "nosuch")},
		"nobody there":  {Socket: s.Path},
		"no socket":     {Socket: file},
		"no such FIFO":  {FIFO: filepath.Join(dir, "nosuch")},
		"no FIFO":       {FIFO: file},
	} {
		if _, err := Dial(t.Context(), target); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A daemon that takes requests and never answers, in both kinds.
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
			t.Errorf("%s: a daemon that is silent: %v", path, err)
		}
		c, err = Dial(t.Context(), Target{Socket: path, Timeout: -1})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := c.Call(ctx, "pwd"); !errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: the caller's time is over: %v", path, err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		if _, err := c.Call(ctx, "pwd"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnreachable) {
			t.Errorf("%s: the caller gave up: %v", path, err)
		}
	}

	// One that ends in the middle of its answer.
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

// BenchmarkControl is what one command costs over the control socket, from
// connecting to the decoded reply.
func BenchmarkControl(b *testing.B) {
	r := testRegistry()
	dir := b.TempDir()
	s := &ControlServer{Socket: Socket{Registry: r, Log: r.log, Path: filepath.Join(dir, "c")}}
	if err := s.Listen(b.Context()); err != nil {
		b.Fatal(err)
	}
	go func() { _ = s.Run(b.Context()) }()
	c, err := Dial(b.Context(), Target{Socket: s.Path})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Call(b.Context(), "imc_list_members", Arg{Value: "sip:chat-001@example.test"}); err != nil {
			b.Fatal(err)
		}
	}
}
