package clock

import (
	"strings"
	"testing"
	"time"
)

// The earlier and the later time differ from the moment of a jump to its end, and have the
// monotonic reading of the system.
func TestBothTimes(t *testing.T) {
	begun := time.Now()
	var set, passed time.Duration
	c := New(Options{
		Wall:    func() time.Time { return begun.Round(0).Add(passed + set) },
		Elapsed: func(time.Time) time.Duration { return passed },
		Boot:    func() time.Duration { return passed },
	})
	wants := func(step string, early, late time.Duration, doubted bool) {
		t.Helper()
		if e, l := c.Earlier(), c.Later(); !e.Equal(begun.Add(early).Round(0)) || !l.Equal(begun.Add(late).Round(0)) || c.Doubted() != doubted {
			t.Errorf("%s: %v and %v, %v; doubted %v", step, e.Sub(begun), l.Sub(begun), begun, c.Doubted())
		}
	}
	wants("at the start", 0, 0, false)
	passed, set = time.Second, 10*day
	wants("before the check", time.Second, time.Second+10*day, true)
	c.Check()
	wants("after it", time.Second, time.Second+10*day, true)
	passed = time.Minute
	c.Check()
	wants("later", time.Minute, time.Minute+10*day, true)
	set = time.Second
	c.Check()
	wants("returned", time.Minute+time.Second, time.Minute+time.Second, false)
	set = -10 * day
	wants("set back", time.Minute-10*day, time.Minute+time.Second, true)
	c.Check()
	if e := c.check(true); e != accepted {
		t.Errorf("accepted: %v", e)
	}
	wants("accepted", time.Minute-10*day, time.Minute-10*day, false)
}

func TestMonotonicReading(t *testing.T) {
	c := New(Options{})
	before := time.Now()
	c.Check()
	for _, now := range []time.Time{c.Earlier(), c.Later()} {
		if !strings.Contains(now.String(), " m=") || now.Before(before) {
			t.Errorf("%v has no monotonic reading", now)
		}
	}
	if c.Doubted() {
		t.Error("it is doubted")
	}
}

func BenchmarkEarlier(b *testing.B) {
	c := New(Options{})
	for b.Loop() {
		c.Earlier()
	}
}
