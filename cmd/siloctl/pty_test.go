package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/mi"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// daemon starts a test's daemon and returns its socket.
func daemon(t *testing.T, cmds []mi.Command) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	path := filepath.Join(t.TempDir(), "control.sock")
	done, err := serve(ctx, path, cmds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return path
}

// A terminal is a siloctl that runs in a pseudo-terminal.
type terminal struct {
	t   *testing.T
	tty *os.File
	cmd *exec.Cmd

	mu     sync.Mutex
	screen bytes.Buffer
	closed chan struct{}
}

func startTerminal(t *testing.T, columns uint16, args ...string) *terminal {
	t.Helper()
	path, err := exec.LookPath("siloctl") // testscript.Main put it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "COLUMNS=", "TZ=UTC", "GORACE=atexit_sleep_ms=0")
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Skipf("cannot open a pseudo-terminal: %v", err)
	}
	term := &terminal{t: t, tty: tty, cmd: cmd, closed: make(chan struct{})}
	t.Cleanup(func() {
		cmd.Process.Kill()
		tty.Close()
		<-term.closed
	})
	go func() {
		defer close(term.closed)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			term.mu.Lock()
			term.screen.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return term
}

func (term *terminal) text() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return strings.ReplaceAll(term.screen.String(), "\r\n", "\n")
}

// expect waits until the terminal shows a text.
func (term *terminal) expect(want string) {
	term.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if strings.Contains(term.text(), want) {
			return
		}
	}
	term.t.Fatalf("the terminal never shows %q, but\n%s", want, term.text())
}

func (term *terminal) typed(s string) {
	term.t.Helper()
	if _, err := io.WriteString(term.tty, s); err != nil {
		term.t.Fatal(err)
	}
}

// secret types a password when the terminal has stopped its echo.
func (term *terminal) secret(question, s string) {
	term.t.Helper()
	term.expect(question)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		mode, err := unix.IoctlGetTermios(int(term.tty.Fd()), unix.TCGETS)
		if err != nil || time.Now().After(deadline) {
			term.t.Fatalf("the terminal shows what is typed, %v", err)
		}
		if mode.Lflag&unix.ECHO == 0 {
			break
		}
	}
	term.typed(s)
}

// exit waits for the end and returns the exit code.
func (term *terminal) exit() int {
	term.t.Helper()
	err := term.cmd.Wait()
	<-term.closed
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		return failed.ExitCode()
	}
	if err != nil {
		term.t.Fatal(err)
	}
	return 0
}
