package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	patience = time.Minute            // to wait for an event that must happen: longer than any retry
	silence  = 300 * time.Millisecond // to wait for one that must not
)

// transcript has the output of a program so far.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// program is a process that a test has started. It is killed at the end of the test.
type program struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output transcript // standard output, and standard error if the test does not set it
	ended  chan struct{}
}

// start runs a program. Its standard input is a pipe from the test, and its output is
// recorded, unless cmd sets them.
func start(t *testing.T, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, name: filepath.Base(cmd.Path), cmd: cmd, ended: make(chan struct{})}
	if cmd.Stdin == nil {
		var err error
		if p.input, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
	}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.output
	}
	// The program and its children end with the test, even if that is killed.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() && cmd.Stderr == &p.output {
			t.Logf("output of %s:\n%s", strings.Join(cmd.Args, " "), tail(p.output.String()))
		}
	})
	return p
}

// tail returns the end of a long output, where the reason of a failure is.
func tail(s string) string {
	const limit = 20_000
	if len(s) > limit {
		return "[...]" + s[len(s)-limit:]
	}
	return s
}

// kill kills a program and its children with SIGKILL.
func (p *program) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// write sends a line to a program's standard input.
func (p *program) write(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.input, line+"\n"); err != nil {
		p.t.Fatalf("write %q to %s: %v", line, p.name, err)
	}
}

// exit waits for a program's end and returns its exit code, -1 after a signal.
func (p *program) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("%s has not ended", p.name)
		return -1
	}
}

// running reports whether a program has not ended yet.
func (p *program) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// await waits until a program has written a text.
func (p *program) await(text string) {
	p.t.Helper()
	eventually(p.t, func() error {
		switch {
		case strings.Contains(p.output.String(), text):
			return nil
		case !p.running():
			return errors.New(p.name + " has ended and did not write: " + text)
		}
		return errors.New(p.name + " did not write: " + text)
	})
}

// eventually calls check until it returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
