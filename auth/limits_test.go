package auth

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"silod/limit"
)

func address4(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLimits(LimitOptions{}, LimitSettings{
			PerSource: map[string]limit.Rate{"": {N: 2, Per: time.Minute}, "MESSAGE": {N: 3, Per: 3 * time.Second}, "OPTIONS": {}},
			PerUser:   map[string]limit.Rate{"MESSAGE": {N: 1, Per: time.Second}},
		})
		for i, step := range []struct {
			after  time.Duration
			method string
			from   netip.Addr
			wait   time.Duration // 0: allowed
		}{
			{0, "MESSAGE", here, 0},
			{0, "MESSAGE", here, 0},
			{0, "MESSAGE", here, 0},
			{0, "MESSAGE", here, time.Second},
			{0, "MESSAGE", there, 0},
			{0, "REGISTER", here, 0}, // like all other methods
			{0, "PUBLISH", here, 0},
			{0, "SUBSCRIBE", here, 30 * time.Second},
			{0, "OPTIONS", here, 0},
			{0, "OPTIONS", here, 0},
			{0, "OPTIONS", here, 0},
			{500 * time.Millisecond, "MESSAGE", here, 500 * time.Millisecond}, // refused requests do not count
			{500 * time.Millisecond, "MESSAGE", here, 0},
			{0, "MESSAGE", here, time.Second},
			{time.Hour, "MESSAGE", here, 0}, // not more than a burst
			{0, "MESSAGE", here, 0},
			{0, "MESSAGE", here, 0},
			{0, "MESSAGE", here, time.Second},
		} {
			time.Sleep(step.after)
			wait, ok := l.Source(step.method, step.from)
			if ok != (step.wait == 0) || (wait-step.wait).Abs() > time.Millisecond {
				t.Errorf("step %d: %v, %v, want %v", i, wait, ok, step.wait)
			}
		}
		alice, bob := aor(t, "alice"), aor(t, "bob")
		for i, step := range []struct {
			after  time.Duration
			method string
			bob    bool
			ok     bool
		}{
			{0, "MESSAGE", false, true},
			{0, "MESSAGE", false, false},
			{0, "MESSAGE", true, true},
			{0, "REGISTER", false, true},
			{0, "REGISTER", false, true},
			{time.Second, "MESSAGE", false, true},
		} {
			time.Sleep(step.after)
			user := alice
			if step.bob {
				user = bob
			}
			if _, ok := l.User(step.method, user); ok != step.ok {
				t.Errorf("step %d of users: %v", i, ok)
			}
		}
		if l.Stats.Sources.Value() != 5 || l.Stats.Users.Value() != 1 {
			t.Errorf("counted %d and %d", l.Stats.Sources.Value(), l.Stats.Users.Value())
		}
	})
}

// A clock that is set back permits no more requests, and does not block a source for long.
func TestLimitsWithClockSetBack(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	l := NewLimits(LimitOptions{Now: func() time.Time { return now }},
		LimitSettings{PerSource: map[string]limit.Rate{"": {N: 1, Per: time.Second}}})
	l.Source("MESSAGE", here)
	now = now.Add(-time.Hour)
	if wait, ok := l.Source("MESSAGE", here); ok || wait != time.Second {
		t.Errorf("%v, %v", wait, ok)
	}
	now = now.Add(time.Second)
	if _, ok := l.Source("MESSAGE", here); !ok {
		t.Error("still blocked")
	}
}

// A source with a full bucket does not get another burst by sending from ever more
// addresses: those replace each other.
func TestFloodDoesNotResetLimits(t *testing.T) {
	const capacity, burst = 4096, 10
	now := time.Unix(1_000_000, 0)
	l := NewLimits(LimitOptions{Capacity: capacity, Now: func() time.Time { return now }},
		LimitSettings{PerSource: map[string]limit.Rate{"": {N: burst, Per: time.Hour}}})
	for range burst {
		if _, ok := l.Source("MESSAGE", here); !ok {
			t.Fatal("limited too early")
		}
	}
	for i := range 200_000 {
		if _, ok := l.Source("MESSAGE", address4(i)); !ok {
			t.Fatalf("new source %d is refused", i)
		}
		if _, ok := l.Source("MESSAGE", here); ok {
			t.Fatalf("a new burst after %d others", i)
		}
	}
	if n := l.sources.Load().len(); n != capacity {
		t.Errorf("%d sources, want %d", n, capacity)
	}
}

// New rates count at once, and those that stay the same go on counting.
func TestLimitsConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		same, other := limit.Rate{N: 2, Per: time.Minute}, limit.Rate{N: 1, Per: time.Minute}
		l := NewLimits(LimitOptions{}, LimitSettings{PerSource: map[string]limit.Rate{"REGISTER": same, "MESSAGE": same}})
		ask := func(method string, want bool) {
			t.Helper()
			if _, ok := l.Source(method, here); ok != want {
				t.Errorf("%s is permitted: %v", method, ok)
			}
		}
		for range 2 {
			ask("REGISTER", true)
			ask("MESSAGE", true)
		}
		l.Configure(LimitSettings{
			PerSource: map[string]limit.Rate{"REGISTER": same, "MESSAGE": other, "": other}, PerUser: map[string]limit.Rate{"MESSAGE": other},
		})
		ask("REGISTER", false)
		ask("MESSAGE", true)
		ask("MESSAGE", false)
		ask("OPTIONS", true)
		ask("OPTIONS", false)
		if _, ok := l.User("MESSAGE", aor(t, "bob")); !ok {
			t.Error("a user's first message is one too many")
		}
		if _, ok := l.User("MESSAGE", aor(t, "bob")); ok {
			t.Error("a user's second message is permitted")
		}
		l.Configure(LimitSettings{})
		ask("MESSAGE", true)
		if n := stat(t, l.Counters(), "metered_sources"); n != 0 {
			t.Errorf("%d sources are still counted", n)
		}
	})
}
