package clock

import "time"

const (
	// tolerance is the largest difference between the system's clock and the time that has passed
	// which is taken as a correction: NTP sets clocks that are a few seconds wrong.
	tolerance = 10 * time.Minute

	// longStop is the longest time between the end of a process and the start of the next one
	// that is believed at once.
	longStop = 24 * time.Hour

	// hold is the time after which a clock that has jumped is believed.
	hold = time.Hour
)

// A reading is a look at three clocks at the same moment.
type reading struct {
	wall    time.Time     // the system's clock, which can be set
	elapsed time.Duration // of a clock that is never set, and stands while the machine sleeps
	boot    time.Duration // of one that goes on then
}

// A state is the result of all readings so far.
type state struct {
	reading // the last one that was believed

	doubted bool
	since   time.Duration // reading.elapsed when the doubt began
	gap     time.Duration // by which the system's clock was ahead then
	slack   time.Duration // by which it may be ahead to be believed again
}

// An event is a change of a state.
type event int

const (
	unchanged event = iota
	jumped          // the system's clock is doubted, or has jumped again
	returned        // it is right again
	accepted        // it is believed because it has stayed, or because an administrator says so
)

// begin returns the state at the start of a process. known is the newest time of an earlier
// process, and built that of the build; each is zero if it is not known.
func begin(r reading, known, built time.Time) (state, event) {
	last := later(known, built)
	gap := wallSub(r.wall, last)
	if last.IsZero() || gap >= -tolerance && (known.IsZero() || gap <= longStop) {
		return state{reading: r}, unchanged
	}
	s := state{reading: r, doubted: true, since: r.elapsed, gap: gap, slack: longStop}
	s.wall = last.Round(0)
	return s, jumped
}

// next returns the state after another reading. accept says that the system's clock is right.
func next(s state, r reading, accept bool) (state, event) {
	passed := r.elapsed - s.elapsed
	if asleep := r.boot - s.boot - passed; asleep > time.Second {
		s.wall, s.boot = s.wall.Round(0).Add(asleep), s.boot+asleep // without the monotonic reading, which was still
	}
	gap := wallSub(r.wall, s.wall.Add(passed))
	right := gap >= -tolerance && gap <= max(tolerance, s.slack)
	switch {
	case right && !s.doubted:
		return state{reading: r}, unchanged
	case right:
		return state{reading: r}, returned
	case accept, s.doubted && near(gap, s.gap) && r.elapsed-s.since >= hold:
		return state{reading: r}, accepted
	case s.doubted && near(gap, s.gap):
		return s, unchanged
	}
	s.doubted, s.since, s.gap = true, r.elapsed, gap
	return s, jumped
}

func near(a, b time.Duration) bool { return (a - b).Abs() <= tolerance }

// wallSub is Time.Sub without monotonic readings.
func wallSub(a, b time.Time) time.Duration { return a.Round(0).Sub(b.Round(0)) }

func later(a, b time.Time) time.Time {
	if wallSub(a, b) > 0 {
		return a
	}
	return b
}
