package e2e_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"silod/mi"
	"silod/mi/client"
)

// daemon is a silod that runs as a process, or has run. The next one that is started
// continues with the state in dir.
type daemon struct {
	*program
	dir  string // state, FIFO, sockets and configuration
	addr string // of SIP, over UDP and TCP
	env  []string
	as   *syscall.Credential // another user than that of the test
	logs transcript
}

// domain is the daemon's domain, unless the configuration of a test sets another.
const domain = "sip.test"

// serve starts a daemon. more are lines of TOML after the usual ones.
func serve(t *testing.T, more ...string) *daemon {
	t.Helper()
	d := prepare(t, more...)
	d.start(t)
	return d
}

// prepare writes a daemon's configuration without starting it.
func prepare(t *testing.T, more ...string) *daemon {
	t.Helper()
	d := &daemon{dir: shortDir(t), addr: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	d.configure(t, append([]string{
		fmt.Sprintf("sip.listen = ['udp:%s', 'tcp:%s']", d.addr, d.addr),
		fmt.Sprintf("sip.domains = ['%s']", domain),
		fmt.Sprintf("mi.reply_dir = '%s/'", d.dir),
		"silo.add_date = 0",
	}, more...)...)
	return d
}

// configure writes the configuration file.
func (d *daemon) configure(t *testing.T, lines ...string) {
	t.Helper()
	if err := os.WriteFile(d.path("silod.toml"), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// shortDir returns a directory with a path that is short enough for Unix sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "silod") //nolint:usetesting // the paths of t.TempDir are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

// command returns a command for one of the programs under test, with the daemon's
// environment.
func (d *daemon) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(built(name), args...)
	cmd.Env = append(os.Environ(), "STATE_DIRECTORY="+d.dir, "RUNTIME_DIRECTORY="+d.dir, "GORACE=halt_on_error=1")
	cmd.Env = append(cmd.Env, d.env...)
	cmd.Dir = d.dir
	return cmd
}

// start runs the daemon and waits until it serves.
func (d *daemon) start(t *testing.T) {
	t.Helper()
	d.launch(t)
	eventually(t, func() error {
		if !d.running() {
			t.Fatalf("silod has ended:\n%s", d.logs.String())
		}
		c, err := net.Dial("unix", d.path("control.sock"))
		if err != nil {
			return err
		}
		return c.Close()
	})
}

// launch runs the daemon without waiting until it serves.
func (d *daemon) launch(t *testing.T) {
	t.Helper()
	cmd := d.command("silod", "--config", d.path("silod.toml"))
	cmd.Stderr = &d.logs
	if d.as != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.as}
	}
	p := start(t, cmd)
	d.program = p
	t.Cleanup(func() {
		if d.program == p { // the last one that this test has started in dir
			d.verify(t)
		}
	})
}

// verify stops the daemon if it still runs, and fails the test if the daemon has crashed.
func (d *daemon) verify(t *testing.T) {
	t.Helper()
	if d.running() {
		d.stop()
	}
	logs := d.logs.String()
	for _, bad := range []string{"panic", "DATA RACE", "fatal error", "goroutine "} {
		if strings.Contains(logs, bad) {
			t.Errorf("%q is in the daemon's log", bad)
		}
	}
	if t.Failed() {
		t.Logf("the daemon's log:\n%s", tail(logs))
	}
}

// stop stops the daemon as systemd does. The exit code must be 0.
func (d *daemon) stop() {
	d.t.Helper()
	d.signal(syscall.SIGTERM)
	if code := d.exit(); code != 0 {
		d.t.Errorf("silod ended with exit code %d after SIGTERM:\n%s", code, tail(d.logs.String()))
	}
}

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Fatal(err)
	}
}

// freePort returns a port that is not used for UDP or TCP, and neither is the next one. It
// is below the ephemeral ports of the system, so that a daemon that is down for a moment
// finds its port free again.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 12_000 + 2*rand.IntN(10_000)
		if unused(port) && unused(port+1) {
			return port
		}
	}
	t.Fatal("no free port was found")
	return 0
}

func unused(port int) bool {
	addr := fmt.Sprintf(":%d", port)
	u, err := net.ListenPacket("udp4", addr)
	if err != nil {
		return false
	}
	defer u.Close()
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// call calls a management command over the control socket.
func (d *daemon) call(command string, args ...string) (*mi.Node, error) {
	c, err := client.Dial(d.t.Context(), client.Target{Socket: d.path("control.sock")})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list := make([]mi.Arg, len(args))
	for i, a := range args {
		list[i].Value = a
	}
	n, err := c.Call(d.t.Context(), command, list...)
	if n == nil {
		n = &mi.Node{}
	}
	return n, err
}

// stored returns the bodies of a user's stored messages, oldest first.
func (d *daemon) stored(user string) ([]string, error) {
	list, err := d.call("silo_list", uri(user))
	if err != nil {
		return nil, err
	}
	var bodies []string
	for _, row := range list.Nodes {
		m, err := d.call("silo_show", attribute(row, "id"))
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, value(m, "body"))
	}
	return bodies, nil
}

// awaitStored waits until exactly these messages are stored for a user.
func (d *daemon) awaitStored(t *testing.T, user string, bodies ...string) {
	t.Helper()
	eventually(t, func() error {
		got, err := d.stored(user)
		if err == nil && !slices.Equal(got, bodies) {
			err = fmt.Errorf("stored for %s: %q, want %q", user, got, bodies)
		}
		return err
	})
}

// awaitOnline waits until a user is registered, or is not.
func (d *daemon) awaitOnline(t *testing.T, user string, online bool) {
	t.Helper()
	eventually(t, func() error {
		_, err := d.call("ul_show_contact", "location", user+"@"+domain)
		if (err == nil) != online {
			return fmt.Errorf("%s online: %t, want %t", user, err == nil, online)
		}
		return nil
	})
}

// counter returns a statistic by its full name, "router:messages".
func (d *daemon) counter(t *testing.T, name string) int {
	t.Helper()
	n, err := d.call("get_statistics", name)
	if err != nil || len(n.Nodes) != 1 {
		t.Fatalf("get_statistics %s: %+v, %v", name, n, err)
	}
	var v int
	if _, err := fmt.Sscan(fmt.Sprint(n.Nodes[0].Value), &v); err != nil {
		t.Fatalf("get_statistics %s: %+v: %v", name, n.Nodes[0], err)
	}
	return v
}

// value returns the value of the child of that name as text, or "".
func value(n *mi.Node, name string) string {
	for _, c := range n.Nodes {
		if c.Name == name && c.Value != nil {
			return fmt.Sprint(c.Value)
		}
	}
	return ""
}

// attribute returns an attribute of a node as text, or "".
func attribute(n *mi.Node, name string) string {
	for _, a := range n.Attrs {
		if a.Name == name {
			return fmt.Sprint(a.Value)
		}
	}
	return ""
}

// uri returns the address of a user or room in domain.
func uri(user string) string { return "sip:" + user + "@" + domain }
