// Package clock decides when the system's clock cannot be right: after a jump while the process
// runs, or at the start, compared with the time that an earlier process has seen. Then there are two
// times, that of the system and the one that would have come without the jump. Stored messages
// expire, and reminders are sent, at the earlier one; new data counts from the later one. So a
// wrong clock deletes nothing, and neither does its correction. After an hour the system's clock is
// believed.
//
// Locks: Clock.mu guards changes of the state. Earlier and Later take no lock.
package clock

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"silod/mi"
)

// Options are the clocks that a Clock reads. Zero values stand for the clocks of the system.
type Options struct {
	Wall    func() time.Time
	Elapsed func(wall time.Time) time.Duration // of a clock that is not set, at a moment that Wall has returned
	Boot    func() time.Duration               // the same, but it goes on while the machine sleeps
	Log     *slog.Logger
}

// A Clock compares the system's clock with the time that has passed. New makes one.
type Clock struct {
	opt   Options
	mu    sync.Mutex
	state atomic.Pointer[state]
	jumps mi.Counter
}

// New returns a Clock that believes the system's clock until Start.
func New(opt Options) *Clock {
	if opt.Wall == nil {
		opt.Wall = time.Now
	}
	if opt.Elapsed == nil {
		begun := time.Now()
		opt.Elapsed = func(wall time.Time) time.Duration { return wall.Sub(begun) } // of the monotonic readings
	}
	if opt.Boot == nil {
		opt.Boot = bootTime
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	c := &Clock{opt: opt}
	c.state.Store(&state{reading: c.read()})
	return c
}

func bootTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func (c *Clock) read() reading {
	wall := c.opt.Wall()
	return reading{wall, c.opt.Elapsed(wall), c.opt.Boot()}
}

// expected returns the time that it would be without a jump.
func (s *state) expected(elapsed time.Duration) time.Time { return s.wall.Add(elapsed - s.elapsed) }

// Start compares the system's clock with the newest time that an earlier process has seen, and
// with the time of the build. Zero times are not known.
func (c *Clock) Start(known, built time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, e := begin(c.read(), known, built)
	if e == jumped && s.gap > 0 {
		c.opt.Log.Info("silod was stopped for more than a day, or the system clock is wrong", "last_run", utc(known))
	}
	c.set(s, e)
}

// Check looks at the clocks. Run calls it every second.
func (c *Clock) Check() { c.check(false) }

func (c *Clock) check(accept bool) event {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, e := next(*c.state.Load(), c.read(), accept)
	c.set(s, e)
	return e
}

// set stores a state and logs the event that has led to it. c.mu is held.
func (c *Clock) set(s state, e event) {
	c.state.Store(&s)
	r := c.read()
	switch e {
	case unchanged:
	case jumped:
		c.jumps.Inc()
		c.opt.Log.Warn("system clock has jumped, so nothing expires and no reminder is sent before its time by either clock",
			"system", utc(r.wall), "expected", utc(s.expected(r.elapsed)),
			"ahead", s.gap.Round(time.Second), "believed_in", hold, "if_right", "siloctl clock_accept")
	case returned:
		c.opt.Log.Info("system clock is right again")
	case accepted:
		c.opt.Log.Warn("system clock is believed after a jump", "system", utc(r.wall))
	}
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Run compares the clocks every second, and calls save at intervals of every with a time that is
// believed, until ctx ends.
func (c *Clock) Run(ctx context.Context, every time.Duration, save func(context.Context, time.Time)) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	saved := -every
	for {
		c.Check()
		if r := c.read(); r.elapsed-saved >= every && !c.Doubted() {
			saved = r.elapsed
			save(ctx, r.wall)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// Doubted reports whether the system's clock may be wrong.
func (c *Clock) Doubted() bool {
	early, late := c.both()
	return wallSub(late, early) != 0
}

// Earlier returns the time, and while the system's clock is doubted the earlier one of both.
func (c *Clock) Earlier() time.Time {
	early, _ := c.both()
	return early
}

// Later returns the time, and while the system's clock is doubted the later one of both.
func (c *Clock) Later() time.Time {
	_, late := c.both()
	return late
}

// both returns the times of the system's clock and without its jump, the earlier one first. They are
// the same while the clock is believed, and differ at once when it jumps, before Check has seen that.
// If the jump is one of this process, both have the monotonic reading of now, so that times
// in memory are compared as before.
func (c *Clock) both() (early, late time.Time) {
	s, wall := c.state.Load(), c.opt.Wall()
	steady := s.expected(c.opt.Elapsed(wall))
	gap := time.Duration(wall.UnixNano() - steady.UnixNano())
	switch {
	case !s.doubted && gap.Abs() <= tolerance:
		return wall, wall
	case gap > 0:
		return steady, wall
	}
	return wall, steady
}

// Commands returns the management commands of the clock.
func (c *Clock) Commands() []mi.Command {
	return []mi.Command{
		{Name: "clock_show", Help: "Shows the time, and whether the system's clock is doubted because it has jumped.", Run: c.show},
		{
			Name: "clock_accept", Writes: true, Run: c.accept,
			Help: "Believes the system's clock at once after a jump: messages that have expired by it are deleted, and reminders that are due are sent.",
		},
	}
}

func (c *Clock) show(context.Context, *mi.Request) (*mi.Node, error) {
	s, r := c.state.Load(), c.read()
	n := &mi.Node{}
	n.Add("system", utc(r.wall))
	doubted := "no"
	if c.Doubted() {
		doubted = "yes"
		n.Add("expected", utc(s.expected(r.elapsed)))
		n.Add("believed_in", int(max(0, s.since+hold-r.elapsed)/time.Second))
	}
	n.Add("doubted", doubted)
	return n, nil
}

func (c *Clock) accept(context.Context, *mi.Request) (*mi.Node, error) {
	if c.check(true) == unchanged {
		return nil, mi.Errorf(400, "The system's clock is not doubted")
	}
	return &mi.Node{}, nil
}

// Counters returns the statistics of the clock.
func (c *Clock) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "jumps", Help: "Jumps of the system's clock.", Counter: &c.jumps},
		{Name: "doubted", Help: "1 while the system's clock is doubted, so that nothing expires by it.", Gauge: func() int64 {
			if c.Doubted() {
				return 1
			}
			return 0
		}},
	}
}
