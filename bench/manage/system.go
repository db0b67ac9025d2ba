package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/lib/pq"  // to fill the tables
	_ "modernc.org/sqlite" // the same

	"silod/bench/rows"
)

// domain is the domain of all users.
const domain = "bench.test"

// A system is a running silod with its directory.
type system struct {
	dir    string
	addr   string
	url    string // of the database
	daemon *exec.Cmd
	sent   int
	runs   int // of siloctl, so that no two purge the same messages
}

// start builds the programs, fills a database and starts silod on it.
func start(ctx context.Context, o options) (*system, error) {
	dir, err := os.MkdirTemp("", "silod-manage")
	if err != nil {
		return nil, err
	}
	s := &system{dir: dir, url: o.db}
	if s.url == "" {
		s.url = "sqlite:" + s.path("silod.db")
	}
	if err := s.setUp(ctx, o); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *system) setUp(ctx context.Context, o options) error {
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", s.program("")+"/", "./cmd/silod", "./cmd/siloctl")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build, inside silod's source tree: %w", err)
	}
	var lc net.ListenConfig
	probe, err := lc.ListenPacket(ctx, "udp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.addr = probe.LocalAddr().String()
	probe.Close()
	config := fmt.Sprintf("[sip]\nlisten = [\"udp:%s\"]\ndomains = [%q]\n[db]\nurl = %q\n[log]\nlevel = \"warn\"\n"+
		"[imc]\nmax_rooms = 0\nmax_rooms_per_user = 0\n", s.addr, domain, s.url)
	if err := os.WriteFile(s.path("silod.toml"), []byte(config), 0o600); err != nil {
		return err
	}
	// The first start creates the tables.
	if err := s.launch(ctx); err != nil {
		return err
	}
	s.end()
	driver, name := "postgres", s.url
	if file, ok := strings.CutPrefix(s.url, "sqlite:"); ok {
		driver, name = "sqlite", "file:"+file
	}
	many := rows.Of(o.messages)
	if o.rooms > 0 {
		many.Rooms = o.rooms
	}
	if err := many.Fill(ctx, driver, name, domain); err != nil {
		return fmt.Errorf("fill the tables: %w", err)
	}
	begun := time.Now()
	if err := s.launch(ctx); err != nil {
		return err
	}
	fmt.Printf("silod with %d stored messages, %d rooms with %d entries, %d registrations: it serves %.1f s after its start\n\n",
		many.Messages, many.Rooms, many.Entries, many.Bindings, time.Since(begun).Seconds())
	return nil
}

// launch starts silod and waits until its control socket accepts connections.
func (s *system) launch(ctx context.Context) error {
	s.daemon = exec.Command(s.program("silod"), "--config", s.path("silod.toml")) //nolint:noctx // it is stopped by a signal
	s.daemon.Env = append(os.Environ(), "STATE_DIRECTORY="+s.dir, "RUNTIME_DIRECTORY="+s.dir)
	s.daemon.Stderr = os.Stderr
	s.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := s.daemon.Start(); err != nil {
		return err
	}
	var d net.Dialer
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		c, err := d.DialContext(ctx, "unix", s.path("control.sock"))
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("silod does not serve: %w", err)
		}
	}
}

// end stops silod.
func (s *system) end() {
	if s.daemon != nil {
		_ = s.daemon.Process.Signal(syscall.SIGTERM)
		_ = s.daemon.Wait()
		s.daemon = nil
	}
}

func (s *system) stop() {
	s.end()
	_ = os.RemoveAll(s.dir)
}

// store sends messages to offline users at a constant rate for the time of a spell. It
// returns the time of each until its 202. A late answer does not delay the next request.
func (s *system) store(ctx context.Context, rate int, spell time.Duration) ([]time.Duration, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp4", s.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	n := int(spell.Seconds() * float64(rate))
	w := &waiting{begun: make([]time.Time, n), took: make([]time.Duration, 0, n)}
	first := s.sent
	s.sent += n
	answered := make(chan error, 1)
	go func() { answered <- w.read(conn, first) }()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		w.send(i)
		if _, err := conn.Write(request(conn.LocalAddr().String(), first+i)); err != nil {
			return nil, err
		}
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := <-answered; err != nil {
		return nil, err
	}
	return w.took, nil
}

// A waiting records the times of open requests.
type waiting struct {
	mu    sync.Mutex
	begun []time.Time
	took  []time.Duration
}

func (w *waiting) send(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begun[i] = time.Now()
}

// read reads answers until all requests are answered.
func (w *waiting) read(conn net.Conn, first int) error {
	buf := make([]byte, 4096)
	for len(w.took) < len(w.begun) {
		n, err := conn.Read(buf)
		if err != nil {
			return fmt.Errorf("%d of %d messages were not answered: %w", len(w.begun)-len(w.took), len(w.begun), err)
		}
		at := time.Now()
		if !bytes.HasPrefix(buf[:n], []byte("SIP/2.0 202 ")) {
			return errors.New("answered: " + string(buf[:bytes.IndexByte(buf[:n], '\r')]))
		}
		_, rest, _ := bytes.Cut(buf[:n], []byte("Call-ID: "))
		id, _, _ := bytes.Cut(rest, []byte("@"))
		i, err := strconv.Atoi(string(id))
		if err != nil {
			return err
		}
		w.mu.Lock()
		w.took = append(w.took, at.Sub(w.begun[i-first]))
		w.mu.Unlock()
	}
	return nil
}

func request(local string, n int) []byte {
	const body = "a message of the usual length, which is about a hundred bytes, so that rows are as large as they are"
	return fmt.Appendf(nil, "MESSAGE sip:bob%d@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%d;rport\r\nMax-Forwards: 70\r\n"+
		"From: <sip:alice@%s>;tag=%d\r\nTo: <sip:bob@%s>\r\nCall-ID: %d@manage\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n"+
		"Content-Length: %d\r\n\r\n%s", n%1000, domain, local, n, domain, n, domain, n, len(body), body)
}
