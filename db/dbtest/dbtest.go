// Package dbtest runs private PostgreSQL and MariaDB servers for tests, as an
// unprivileged user, each with its own data directory, socket and loopback port. They end
// with the test.
//
// Where a program is not installed the test is skipped, unless the environment has
// SILOD_TEST_SERVERS=required.
package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Server is a database server for tests.
type Server struct {
	engine  *engine
	dir     string
	port    int
	cmd     *exec.Cmd
	exited  chan struct{}
	created atomic.Int64 // databases
	running sync.Mutex   // held while the server starts
}

// An engine is a kind of server: how to create, run and reach it.
type engine struct {
	name     string
	programs []string                                           // without one of them the test is skipped
	init     func(data string) *exec.Cmd                        // creates the data directory
	run      func(dir string, port int) *exec.Cmd               // runs the server
	url      func(dir string, port int, database string) string // of a database, for silod
	driver   string                                             // of package sql
	dsn      func(dir string, port int) string                  // of the server, for that driver
	create   string                                             // statement that creates database %s
	quit     syscall.Signal                                     // ends the server at once
}

// The servers that all tests of a binary share, by the name of the engine.
var (
	shared  = map[string]*Server{}
	sharing sync.Mutex
)

// PostgreSQL creates an empty database on a server that all tests of a binary share, and
// returns its URL.
func PostgreSQL(t testing.TB) string { return share(t, &postgres) }

// MariaDB is the same for MariaDB.
func MariaDB(t testing.TB) string { return share(t, &mariadb) }

// NewPostgreSQL starts a server for one test, which may kill it.
func NewPostgreSQL(t testing.TB) *Server { return private(t, &postgres) }

// NewMariaDB is the same for MariaDB.
func NewMariaDB(t testing.TB) *Server { return private(t, &mariadb) }

// Stop ends the shared servers. A binary's TestMain calls it last.
func Stop() {
	sharing.Lock()
	defer sharing.Unlock()
	for name, s := range shared {
		s.close()
		delete(shared, name)
	}
}

// share returns the URL of an empty database on the shared server, which it starts first if
// it does not run.
func share(t testing.TB, e *engine) string {
	t.Helper()
	sharing.Lock()
	s := shared[e.name]
	if s == nil {
		s = start(t, e)
		shared[e.name] = s
	}
	sharing.Unlock()
	return s.Database(t)
}

// private starts a server that ends with the test.
func private(t testing.TB, e *engine) *Server {
	t.Helper()
	s := start(t, e)
	t.Cleanup(s.close)
	return s
}

// start creates the data directory and runs the server.
func start(t testing.TB, e *engine) *Server {
	t.Helper()
	for _, p := range e.programs {
		if _, err := exec.LookPath(p); err != nil {
			Missing(t, p)
		}
	}
	//nolint:usetesting // outlives the test, and must be short: it is part of a socket's name
	dir, err := os.MkdirTemp("/tmp", "silod-"+e.name)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{engine: e, dir: dir}
	if os.Getuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	init := e.init(filepath.Join(dir, "data"))
	unprivileged(init)
	if out, err := init.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		t.Fatalf("%v: %v\n%s", init.Args, err, out)
	}
	for tries := 1; ; tries++ { // another program may have taken the port
		s.port = freePort(t)
		switch err := s.start(); {
		case err == nil:
			return s
		case tries == 3:
			s.close()
			t.Fatal(err)
		}
	}
}

// Missing skips a test because a program is not installed, or fails it where servers are
// required.
func Missing(t testing.TB, program string) {
	t.Helper()
	if os.Getenv("SILOD_TEST_SERVERS") == "required" {
		t.Fatalf("%s is not installed, and SILOD_TEST_SERVERS=required", program)
	}
	t.Skipf("%s is not installed", program)
}

// nobody is the ID of the unprivileged user and its group on Debian.
const nobody = 65534

// unprivileged has a command run in a process group of its own and end with the test. A test
// that runs as root runs it as user 65534, because the servers refuse to run as root.
func unprivileged(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	c.Dir = "/"
}

// freePort returns a TCP port that no program listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Start runs the server again after Kill and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
}

// start runs the server and waits until it answers.
func (s *Server) start() error {
	s.running.Lock()
	defer s.running.Unlock()
	var log bytes.Buffer
	cmd := s.engine.run(s.dir, s.port)
	unprivileged(cmd)
	cmd.Stdout, cmd.Stderr = &log, &log
	started, exited := make(chan error, 1), make(chan struct{})
	go func() {
		// The death signal is sent when the starting thread ends, so the thread must not
		// end.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", s.engine.name, err)
	}
	s.cmd, s.exited = cmd, exited
	pool, err := sql.Open(s.engine.driver, s.engine.dsn(s.dir, s.port))
	if err != nil {
		return err
	}
	defer pool.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := pool.PingContext(context.Background())
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("%s ended: %s", s.engine.name, log.String())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", s.engine.name, err)
		}
	}
}

// Database creates an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "test" + strconv.FormatInt(s.created.Add(1), 10)
	pool, err := sql.Open(s.engine.driver, s.engine.dsn(s.dir, s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.ExecContext(t.Context(), fmt.Sprintf(s.engine.create, name)); err != nil {
		t.Fatal(err)
	}
	return s.engine.url(s.dir, s.port, name)
}

// Kill ends the server with all its processes, as a power failure would.
func (s *Server) Kill() {
	s.signal(syscall.SIGKILL)
	<-s.exited
}

// Freeze stops the processes of the server. Its connections stay open without an answer. On a busy
// machine threads go on for a while after the signal.
func (s *Server) Freeze() {
	s.signal(syscall.SIGSTOP)
	for range 500 {
		if stopped(s.cmd.Process.Pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// stopped reports whether no thread of a process runs.
func stopped(pid int) bool {
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range stats {
		stat, err := os.ReadFile(file)
		_, state, _ := strings.Cut(string(stat), ") ")
		if err == nil && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// Thaw continues the processes after Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

// signal sends a signal to the server and to all processes that it has started. Those of
// PostgreSQL may have groups of their own.
func (s *Server) signal(sig syscall.Signal) {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, childrenOf(pids[i])...)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, sig)
	}
}

// childrenOf returns the child processes of a process.
func childrenOf(pid int) (out []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		data, _ := os.ReadFile(file)
		for f := range bytes.FieldsSeq(data) {
			if n, err := strconv.Atoi(string(f)); err == nil && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// close ends the server and removes its data. A signal lets PostgreSQL release its shared
// memory, which a kill would leave behind.
func (s *Server) close() {
	if s.cmd != nil {
		s.Thaw()
		_ = s.cmd.Process.Signal(s.engine.quit)
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			s.Kill()
		}
	}
	_ = os.RemoveAll(s.dir)
}
