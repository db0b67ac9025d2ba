package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"silod/bench/proc"
)

// A rig is the state that all measurements of a run share.
type rig struct {
	*options
	root       string // of the source tree
	machine    *machine
	mine, subs []int     // processors of the load generator, and of the systems
	dir        string    // for programs, databases and state; removed at the end
	floor      string    // program
	postgres   *postgres // started when first needed
	filled     *database // with -rows rows, for measurements to copy; nil without them
	filledFile string    // the same of SQLite; "" without them
}

func newRig(ctx context.Context, o *options) (*rig, error) {
	r := &rig{options: o}
	var err error
	if r.root, err = sourceRoot(); err != nil {
		return nil, err
	}
	if o.out == "" {
		o.out = filepath.Join(r.root, "bench", "out")
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return nil, err
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp(o.data, "silod-bench"); err != nil {
		return nil, err
	}
	if err := os.Chmod(r.dir, 0o755); err != nil { // the database server runs as another user
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// prepare builds the systems that will be measured and then assigns processors.
func (r *rig) prepare(ctx context.Context) error {
	for _, name := range r.modes {
		for _, name := range r.systemsOf(modeNamed(name)) {
			if err := systemNamed(name).prepare(ctx, r); err != nil {
				return err
			}
		}
	}
	if err := r.share(); err != nil {
		return err
	}
	var err error
	r.machine, err = describe(ctx, r)
	return err
}

// systemsOf returns the names of the systems that are measured in a mode.
func (r *rig) systemsOf(m *mode) []string {
	if len(r.systems) > 0 {
		return r.systems
	}
	return m.systems
}

// share assigns processors to the load generator and the systems, so that the load
// generator takes no time from a system. With two or three processors it does so only if
// -pin requests it: on a single processor Kamailio's processes block each other, and Go's
// scheduler waits during every commit.
func (r *rig) share() error {
	cpus, err := proc.Allowed()
	if err != nil {
		return err
	}
	if r.pin == "none" || len(cpus) < 2 || r.pin == "auto" && len(cpus) < 4 {
		return nil
	}
	n := max(1, len(cpus)/4)
	r.mine, r.subs = cpus[:n], cpus[n:]
	return proc.Pin(r.mine)
}

// sourceRoot returns the nearest directory with a go.mod, here or above.
func sourceRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod found: run this inside silod's source tree")
		}
		dir = filepath.Dir(dir)
	}
}

func (r *rig) close() error {
	var err error
	if r.postgres != nil {
		err = r.postgres.stop()
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

// build builds a program of this source tree and returns its path.
func (r *rig) build(ctx context.Context, pkg string, tags ...string) (string, error) {
	path := filepath.Join(r.dir, filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags", strings.Join(tags, ","), "-o", path, pkg)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.root, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return path, nil
}

// freePort returns a port of 127.0.0.1 that is free for both UDP and TCP.
func freePort() (uint16, error) {
	for range 100 {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return 0, err
		}
		addr := conn.LocalAddr().(*net.UDPAddr)
		ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: addr.IP, Port: addr.Port})
		conn.Close()
		if err == nil {
			ln.Close()
			return uint16(addr.Port), nil
		}
	}
	return 0, errors.New("no port is free for both UDP and TCP")
}

// answers waits until a SIP server has answered an OPTIONS with any status.
func answers(ctx context.Context, p *proc.Process, addr netip.AddrPort) error {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return err
	}
	defer conn.Close()
	buf := make([]byte, 2048)
	for n := range 300 {
		fmt.Fprintf(conn, "OPTIONS sip:%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKup%d;rport\r\nMax-Forwards: 70\r\n"+
			"From: <sip:bench@%s>;tag=1\r\nTo: <sip:%s>\r\nCall-ID: up%d\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
			domain, conn.LocalAddr(), n, domain, domain, n)
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if _, err := conn.Read(buf); err == nil {
			return nil
		}
		if err := p.Err(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond): // a refused port does not make Read wait
		}
	}
	return fmt.Errorf("no answer from %s", addr)
}
