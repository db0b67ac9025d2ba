package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"silod/bench/load"
	"silod/bench/proc"
	"silod/bench/rows"
)

// A stage is a measurement of a system in a mode.
type stage struct {
	*rig
	mode   *mode
	system *running
	load   *load.Load
	ledger *load.Ledger
	users  int
	// arrived is called for the first arrival of each message at a user.
	arrived atomic.Pointer[func(user, n int)]
	sample  *Sample
	text    []byte // padding of bodies
}

// patience is the maximum time of a measurement, with starting and stopping the system.
const patience = 5 * time.Minute

// once measures a system in a mode.
func (r *rig) once(ctx context.Context, m *mode, sys *system) (sample *Sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp(r.dir, sys.name)
	if err != nil {
		return nil, err
	}
	s := &stage{rig: r, mode: m, users: m.users, sample: &Sample{Mode: m.name, System: sys.name}}
	if r.options.users > 0 {
		s.users = r.options.users
	}
	s.ledger = load.NewLedger(s.users)
	for range r.body {
		s.text = append(s.text, 'x')
	}
	if s.system, err = sys.start(ctx, r, dir); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.system.stop(), os.RemoveAll(dir)) }()
	if r.rows > 0 && s.system.fill != nil {
		if err := s.system.fill(ctx, rows.Rows{Messages: r.rows}); err != nil {
			return nil, fmt.Errorf("fill the table: %w", err)
		}
	}
	if r.rows > 0 {
		if err := s.rest(ctx); err != nil {
			return nil, err
		}
	}

	open := m.open
	if r.open > 0 {
		open = r.open
	}
	s.load, err = load.Start(ctx, load.Config{
		Network: r.transport, Server: s.system.addr, Clients: min(r.clients, open), Open: open, Heard: s.heard,
	})
	if err != nil {
		return nil, err
	}
	defer s.load.Close()
	if err := m.run(ctx, s); err != nil {
		return nil, errors.Join(err, s.system.daemon.Err())
	}
	s.sample.Memory, err = proc.Memory(s.system.daemon.PID())
	return s.sample, errors.Join(err, s.keepProfile(ctx))
}

// heard records a request that a user has received.
func (s *stage) heard(r load.Request) {
	user, ok1 := number(r.User)
	mailbox, n, ok2 := load.ReadMark(r.Body)
	if !ok1 || !ok2 || mailbox != user && mailbox != roomMailbox {
		s.ledger.Stray()
		return
	}
	if first := s.ledger.Enter(user, n, r.Branch); first {
		if f := s.arrived.Load(); f != nil {
			(*f)(user, n)
		}
	}
}

// roomMailbox is the mailbox in the mark of room messages.
const roomMailbox = 1 << 30

// fill appends a body to b: a mark, padded with text to the length of the flag -body.
func (s *stage) fill(b []byte, mailbox, number int) []byte {
	b = load.Mark(b, mailbox, number)
	return append(b, s.text[min(len(b), len(s.text)):]...)
}

// A reading is the values of all counters at one moment.
type reading struct {
	at                     time.Time
	daemon, database, mine time.Duration // CPU time
	busy                   time.Duration
	counts                 *load.Counts
	totals                 load.Totals
}

func (s *stage) read() (reading, error) {
	daemon, database := s.system.pids()
	r := reading{at: time.Now(), counts: s.load.Counts(), totals: s.ledger.Totals()}
	var errs [4]error
	r.daemon, errs[0] = proc.CPU(daemon...)
	r.database, errs[1] = proc.CPU(database...)
	r.busy, errs[2] = proc.Busy()
	var usage syscall.Rusage
	errs[3] = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	r.mine = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return r, errors.Join(errs[:]...)
}

// steady measures for -seconds under continuous load. done returns the number of units at
// a reading.
func (s *stage) steady(ctx context.Context, src load.Source, done func(reading) int64) error {
	s.load.Begin(src)
	if err := pause(ctx, s.warmup); err != nil {
		return err
	}
	s.toggleProfile()
	before, err := s.read()
	if err != nil {
		return err
	}
	if err := pause(ctx, s.seconds); err != nil {
		return err
	}
	after, err := s.read()
	if err != nil {
		return err
	}
	s.toggleProfile()
	s.record(before, after, done(after)-done(before))
	return s.load.Finish(ctx)
}

// record stores the difference between two readings in the sample.
func (s *stage) record(before, after reading, done int64) {
	d := after.counts.Since(before.counts)
	elapsed := after.at.Sub(before.at)
	p := s.sample
	p.Done, p.Seconds = done, elapsed.Seconds()
	p.Rate = float64(done) / elapsed.Seconds()
	perUnit := func(t time.Duration) float64 { return float64(t.Microseconds()) / float64(max(done, 1)) }
	p.DaemonCPU, p.DatabaseCPU = perUnit(after.daemon-before.daemon), perUnit(after.database-before.database)
	p.P50, p.P99 = millis(d.Latency.Quantile(0.5)), millis(d.Latency.Quantile(0.99))
	p.Longest = millis(d.Latency.Quantile(1))
	p.Resent, p.Unanswered, p.Faults = d.Resent, d.Lost, d.Faults
	p.Status = make(map[string]int64)
	for code, n := range &d.Status {
		if n > 0 {
			p.Status[strconv.Itoa(code)] = n
		}
	}
	theirs := after.daemon - before.daemon + after.database - before.database
	mine := after.mine - before.mine
	p.Cores, p.Generator = theirs.Seconds()/elapsed.Seconds(), mine.Seconds()/elapsed.Seconds()
	p.Others = max(0, (after.busy-before.busy-theirs-mine).Seconds()/elapsed.Seconds())
	t := after.totals
	t.Sub(before.totals)
	p.Disordered, p.Repeated, p.Retransmitted = t.Disordered, t.Repeated, t.Retransmitted
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// toggleProfile starts or stops the profile of a daemon that supports it.
func (s *stage) toggleProfile() {
	if s.system.profile != "" {
		_ = s.system.daemon.Signal(syscall.SIGUSR1)
	}
}

// keepProfile copies the profile to the directory of the results, with a table of its
// functions.
func (s *stage) keepProfile(ctx context.Context) error {
	if s.system.profile == "" {
		return nil
	}
	if err := pause(ctx, time.Second); err != nil { // the daemon writes it after the signal
		return err
	}
	name := filepath.Join(s.out, s.sample.Mode+"-"+s.sample.System+".prof")
	data, err := os.ReadFile(s.system.profile)
	if err != nil {
		return err
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return err
	}
	top, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", "-cum", "-nodecount=120", name).Output()
	if err != nil {
		return fmt.Errorf("go tool pprof: %w", err)
	}
	fmt.Fprintf(os.Stderr, "profile: %s, and its table beside it (.txt)\n", name)
	return os.WriteFile(name+".txt", top, 0o644)
}

// quiet waits until the system has sent no requests for 300 ms.
func (s *stage) quiet(ctx context.Context) error {
	const still = 300 * time.Millisecond
	for last := int64(-1); ; {
		n := s.load.Counts().Heard
		if n == last {
			return nil
		}
		last = n
		if err := pause(ctx, still); err != nil {
			return err
		}
	}
}

// rest waits until a system has done the work of its start with a full database: until it and its
// database use less than a tenth of a processor, or for a minute.
func (s *stage) rest(ctx context.Context) error {
	daemon, database := s.system.pids()
	pids := slices.Concat(daemon, database)
	last, err := proc.CPU(pids...)
	for range 60 {
		if err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		var now time.Duration
		if now, err = proc.CPU(pids...); now-last < 100*time.Millisecond {
			return err
		}
		last = now
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
