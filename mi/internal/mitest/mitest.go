// Package mitest is for tests of the packages that serve or call management commands. It
// has a registry with sample commands, and runs servers for the length of a test.
package mitest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/mi"
)

// Soon is how long a test waits for an event that must happen. It is far more than needed.
const Soon = 20 * time.Second

// Room is the address of the room that the sample commands know.
const Room = "sip:chat-001@example.test"

// Registry returns a registry with the daemon's own commands and sample commands, which
// logs to h.
func Registry(h slog.Handler) *mi.Registry {
	r := mi.NewRegistry(slog.New(h))
	c := &mi.Core{Registry: r, Name: "silod", Version: "1.0.0", Started: time.Now(), Level: new(slog.LevelVar)}
	r.Add(c.Commands()...)
	r.Add(
		mi.Command{Name: "imc_list_rooms", Run: rooms},
		mi.Command{Name: "imc_list_members", Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: members},
		mi.Command{Name: "ul_rm", Args: "TABLE AOR", MinArgs: 2, MaxArgs: 2, Writes: true, Run: nothing},
		mi.Command{Name: "echo", Args: "WORD...", MaxArgs: -1, Run: echo},
		mi.Command{Name: "crash", Run: func(context.Context, *mi.Request) (*mi.Node, error) { panic("oh") }},
		mi.Command{Name: "rows", Args: "N [FAIL_AT]", MinArgs: 1, MaxArgs: 2, Run: rows},
	)
	return r
}

func rooms(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	n.Add("ROOM", nil, mi.Attr{Name: "URI", Value: Room}, mi.Attr{Name: "MEMBERS", Value: 2})
	return n, nil
}

func members(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if req.Arg(0) != Room {
		return nil, mi.Errorf(404, "no such room")
	}
	n := &mi.Node{}
	room := n.Add("ROOM", Room, mi.Attr{Name: "NR_OF_MEMBERS", Value: 2})
	room.Add("MEMBER", "sip:alice@example.test")
	room.Add("MEMBER", "sip:bob@example.test")
	return n, nil
}

func nothing(context.Context, *mi.Request) (*mi.Node, error) { return nil, nil }

// echo returns its arguments.
func echo(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, a := range req.Args {
		n.Add(a.Name, a.Value)
	}
	return n, nil
}

// rows streams N rows and fails at row FAIL_AT.
func rows(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	var n int
	if _, err := fmt.Sscan(req.Arg(0), &n); err != nil {
		return nil, mi.Errorf(400, "Bad parameter")
	}
	failAt := -1
	_, _ = fmt.Sscan(req.Arg(1), &failAt)
	text := mi.Attr{Name: "text", Value: strings.Repeat("x", 60)}
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for i := range n {
			switch {
			case ctx.Err() != nil:
				yield(nil, ctx.Err())
				return
			case i == failAt:
				yield(nil, errors.New("database is gone"))
				return
			}
			if !yield(&mi.Node{Name: "ROW", Value: i, Attrs: []mi.Attr{text}}, nil) {
				return
			}
		}
	}}, nil
}

// A Server serves a management socket.
type Server interface {
	Listen(context.Context) error
	Run(context.Context) error
}

// Start runs a server until the test ends, or stop is called.
func Start(t *testing.T, s Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
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
		case <-time.After(Soon):
			t.Error("the server does not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// Eventually waits until ok returns true.
func Eventually(t *testing.T, event string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Soon); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", event)
		}
	}
}
