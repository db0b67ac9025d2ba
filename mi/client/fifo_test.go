package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"silod/fifo"
	"silod/mi"
)

// fifoServer is a fifo.Server as a mitest.Server.
type fifoServer struct{ *fifo.Server }

func (s fifoServer) Listen(context.Context) error { return s.Server.Listen() }

// TestClientFIFO: the calls of siloctl over the request FIFO.
func TestClientFIFO(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "fifo")
	s := fifo.NewServer(fifo.Options{Registry: registry(), Log: slog.New(slog.DiscardHandler), Path: path, ReplyDir: dir})
	stop := start(t, fifoServer{s})
	c, err := Dial(t.Context(), Target{FIFO: path, ReplyDir: dir, Timeout: soon})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			word := fmt.Sprintf(" \"word\"\n%d", i)
			n, err := c.Call(t.Context(), "echo", mi.Arg{Value: word})
			if err != nil || n.Nodes[0].Value != word {
				t.Errorf("%q: %v, %v", word, n, err)
			}
		})
	}
	wg.Wait()

	_, err = c.Call(t.Context(), "ul_rm", mi.Arg{Value: "location"})
	if !errors.Is(err, mi.ErrArguments) || errors.Is(err, ErrUnreachable) {
		t.Errorf("a refusal: %v", err)
	}
	rows := 0
	for n, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: "50000"}) {
		if err != nil || n.Value != int64(rows) {
			t.Fatalf("row %d: %v, %v", rows, n, err)
		}
		rows++
	}
	if rows != 50000 {
		t.Errorf("%d rows", rows)
	}
	for _, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: "50000"}) {
		if err != nil {
			t.Fatal(err)
		}
		break // the rest is not wanted
	}
	var out bytes.Buffer
	text := " text=" + strings.Repeat("x", 60) + "\n"
	want := "200 OK\nROW:: 0" + text + "ROW:: 1" + text
	if err := c.Raw(t.Context(), &out, "rows", mi.Arg{Value: "2"}); err != nil || out.String() != want {
		t.Errorf("got %q, %v", &out, err)
	}
	if err := c.Raw(t.Context(), &out, "nosuch"); err == nil || err.Error() != "500 command 'nosuch' not available" {
		t.Errorf("a refusal: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "siloctl_*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	stop()
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without a daemon: %v", err)
	}
}

// TestClientFIFONoAnswer: a FIFO that is read, but not by a daemon.
func TestClientFIFONoAnswer(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "fifo"), t.TempDir()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c, err := Dial(t.Context(), Target{FIFO: path, ReplyDir: dir, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no answer to pwd in time") {
		t.Errorf("got %v", err)
	}
	c, err = Dial(t.Context(), Target{FIFO: path, ReplyDir: dir, Timeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Call(ctx, "pwd"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	noDir := filepath.Join(dir, "nosuch")
	if c, err = Dial(t.Context(), Target{FIFO: path, ReplyDir: noDir}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "create a reply FIFO: ") {
		t.Errorf("without a directory for the reply FIFO: %v", err)
	}

	_ = reader.Close() // a killed daemon leaves its FIFO without a reader
	if _, err := Dial(t.Context(), Target{FIFO: path}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("without a reader: %v", err)
	}
}
