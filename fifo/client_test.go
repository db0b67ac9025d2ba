package fifo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/mi"
)

// TestClient: siloctl's calls over the FIFO.
func TestClient(t *testing.T) {
	r := newRig(t, nil)
	c, err := mi.Dial(t.Context(), mi.Target{FIFO: r.Path, ReplyDir: r.ReplyDir, Timeout: soon})
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
	if !errors.Is(err, mi.ErrArguments) || errors.Is(err, mi.ErrUnreachable) {
		t.Errorf("a refusal: %v", err)
	}
	rows := 0
	for n, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: "50000"}) {
		if err != nil || n.Value != int64(rows) {
			t.Fatalf("row %d: %v, %v", rows, n, err)
		}
		rows++
	}
	for _, err := range c.Stream(t.Context(), "rows", mi.Arg{Value: "50000"}) {
		if err != nil {
			t.Fatal(err)
		}
		break // seen enough
	}
	var out bytes.Buffer
	if err := c.Raw(t.Context(), &out, "rows", mi.Arg{Value: "2"}); err != nil || out.String() != "200 OK\nROW:: 0\nROW:: 1\n" {
		t.Errorf("got %q, %v", &out, err)
	}
	if err := c.Raw(t.Context(), &out, "nosuch"); err == nil || err.Error() != "500 command 'nosuch' not available" {
		t.Errorf("a refusal: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(r.ReplyDir, "siloctl_*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, mi.ErrUnreachable) {
		t.Errorf("without a daemon: %v", err)
	}
}

// TestClientNoAnswer: a FIFO that is read, but not by a daemon.
func TestClientNoAnswer(t *testing.T) {
	s := &Server{Registry: registry(), Path: filepath.Join(t.TempDir(), "fifo")}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := mi.Dial(t.Context(), mi.Target{FIFO: s.Path, ReplyDir: dir, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), "pwd"); !errors.Is(err, mi.ErrUnreachable) || !strings.Contains(err.Error(), "no answer to pwd in time") {
		t.Errorf("got %v", err)
	}
	c, err = mi.Dial(t.Context(), mi.Target{FIFO: s.Path, ReplyDir: dir, Timeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Call(ctx, "pwd"); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}

	// As a killed daemon leaves it: nobody reads.
	_ = s.file.Close()
	if _, err := mi.Dial(t.Context(), mi.Target{FIFO: s.Path}); !errors.Is(err, mi.ErrUnreachable) {
		t.Errorf("nobody reads: %v", err)
	}
}
