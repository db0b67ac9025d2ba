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
	patience = time.Minute            // for what must come: longer than any retry
	silence  = 300 * time.Millisecond // for what must not
)

// transcript is what a program has written so far.
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

// program is a process that a test has started. It does not outlive the test.
type program struct {
	t      *testing.T
	name   string
	cmd    *exec.Cmd
	input  io.WriteCloser
	output transcript // standard output, and error where the two were not kept apart
	ended  chan struct{}
}

// start runs a program, with its standard input and output in the test's hands.
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
	// Its children, and a test that is killed, leave nothing behind.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
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

// tail is the end of a long output, which is what tells why a test failed.
func tail(s string) string {
	const most = 20_000
	if len(s) > most {
		return "[...]" + s[len(s)-most:]
	}
	return s
}

// kill ends a program as nothing else does.
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

// exit waits for a program's end and gives its exit code, -1 after a signal.
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

// running tells whether a program has not ended yet.
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

// eventually asks until there is nothing to complain about.
func eventually(t *testing.T, ask func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := ask()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
