package auth

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"silod/limit"
	"silod/sip"
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
			wait, ok := l.Source(step.method, Sender{Source: step.from})
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
	l.Source("MESSAGE", Sender{Source: here})
	now = now.Add(-time.Hour)
	if wait, ok := l.Source("MESSAGE", Sender{Source: here}); ok || wait != time.Second {
		t.Errorf("%v, %v", wait, ok)
	}
	now = now.Add(time.Second)
	if _, ok := l.Source("MESSAGE", Sender{Source: here}); !ok {
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
		if _, ok := l.Source("MESSAGE", Sender{Source: here}); !ok {
			t.Fatal("limited too early")
		}
	}
	for i := range 200_000 {
		if _, ok := l.Source("MESSAGE", Sender{Source: address4(i)}); !ok {
			t.Fatalf("new source %d is refused", i)
		}
		if _, ok := l.Source("MESSAGE", Sender{Source: here}); ok {
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
			if _, ok := l.Source(method, Sender{Source: here}); ok != want {
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

// Datagrams that may be forged use up a rate of their own: neither connections nor datagrams that
// answer a challenge notice. One user does not use up the rate of the source.
func TestWhoIsLimited(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	alice, bob := aor(t, "alice"), aor(t, "bob")
	const stream, forged, proven = 0, 1, 2
	for _, tc := range []struct {
		name      string
		floodIs   int
		flood     Sender
		afterIs   int
		after     Sender
		permitted bool
	}{
		{"forged, then a connection", forged, Sender{here, bob}, stream, Sender{here, bob}, true},
		{"forged, then a proven datagram", forged, Sender{here, bob}, proven, Sender{here, bob}, true},
		{"forged, then another datagram", forged, Sender{here, bob}, forged, Sender{here, alice}, false},
		{"forged, then a datagram from elsewhere", forged, Sender{here, bob}, forged, Sender{there, alice}, true},
		{"one user, then another", stream, Sender{here, bob}, stream, Sender{here, alice}, true},
		{"one user, then the same", stream, Sender{here, bob}, stream, Sender{here, bob}, false},
		{"one user, then the same elsewhere", stream, Sender{here, bob}, stream, Sender{there, bob}, true},
		{"one proven user, then another", proven, Sender{here, bob}, proven, Sender{here, alice}, true},
		{"senders without a name, then a user", stream, Sender{here, sip.AoR{}}, stream, Sender{here, bob}, false},
		{"connections, then a datagram", stream, Sender{here, sip.AoR{}}, forged, Sender{here, bob}, true},
	} {
		l := NewLimits(LimitOptions{Now: func() time.Time { return now }}, LimitSettings{
			PerSource: map[string]limit.Rate{"REGISTER": {N: 100, Per: time.Minute}}, PerUser: map[string]limit.Rate{"REGISTER": {N: 20, Per: time.Minute}},
		})
		take := func(kind int, from Sender) (ok bool) {
			if kind != stream {
				if _, ok = l.Datagram("REGISTER", from.Source); ok || kind == forged {
					return ok
				}
			}
			_, ok = l.Source("REGISTER", from)
			return ok
		}
		for range 1000 {
			take(tc.floodIs, tc.flood)
		}
		if ok := take(tc.afterIs, tc.after); ok != tc.permitted {
			t.Errorf("%s: permitted %v", tc.name, ok)
		}
	}
}

func TestClaimRate(t *testing.T) {
	rate := func(n int, per time.Duration) limit.Rate { return limit.Rate{N: n, Per: per} }
	for _, tc := range []struct{ source, user, want limit.Rate }{
		{rate(3000, time.Minute), rate(60, time.Minute), rate(750, time.Minute)},
		{rate(100, time.Second), rate(60, time.Minute), rate(1500, time.Minute)},
		{rate(100, time.Minute), rate(60, time.Minute), rate(120, time.Minute)},
		{limit.Rate{}, rate(60, time.Minute), limit.Rate{}},
		{rate(100, time.Minute), limit.Rate{}, limit.Rate{}},
	} {
		if got := claimRate(tc.source, tc.user); got != tc.want {
			t.Errorf("%v of %v: %v", tc.user, tc.source, got)
		}
	}
}
