package limit

import (
	"testing"
	"time"
)

var start = time.Unix(1_000_000, 0)

func TestTake(t *testing.T) {
	two := Rate{N: 2, Per: time.Minute}
	m := NewMeter[string](4096, EvictLeast) // so many that the keys do not displace each other
	for i, step := range []struct {
		at    time.Duration
		key   string
		rate  Rate
		wait  time.Duration // 0: permitted
		first bool
	}{
		{0, "a", two, 0, false},
		{0, "a", two, 0, false},
		{0, "a", two, 30 * time.Second, true},
		{time.Second, "a", two, 29 * time.Second, false},
		{time.Second, "b", two, 0, false},
		{time.Second, "a", Rate{}, 0, false},
		{30 * time.Second, "a", two, 0, false}, // the refused events were not counted
		{30 * time.Second, "a", two, 30 * time.Second, true},
		{time.Hour, "a", two, 0, false}, // and no more than N events are saved up
		{time.Hour, "a", two, 0, false},
		{time.Hour, "a", two, 30 * time.Second, true},
		// Another rate counts from now on, for the events before too.
		{time.Hour, "a", Rate{N: 4, Per: time.Minute}, 0, false},
		{time.Hour, "a", Rate{N: 4, Per: time.Minute}, 0, false},
		{time.Hour, "a", Rate{N: 4, Per: time.Minute}, 15 * time.Second, true},
		{time.Hour, "a", two, 30 * time.Second, false},
		// A clock that is set back does not make it longer.
		{0, "a", two, 30 * time.Second, false},
		{30 * time.Second, "a", two, 0, false},
	} {
		wait, ok, first := m.Take(step.key, step.rate, start.Add(step.at))
		if ok != (step.wait == 0) || wait != step.wait || first != step.first {
			t.Errorf("step %d: %v, %v, %v, want %v, %v", i, wait, ok, first, step.wait, step.first)
		}
	}
}

// An event is permitted when a whole period has passed, and not a nanosecond earlier,
// whatever was asked in between.
func TestTakeOncePerPeriod(t *testing.T) {
	once := Rate{N: 1, Per: 7 * time.Second}
	m := NewMeter[string](16, Refuse)
	for i := range 100 {
		from := start.Add(time.Duration(i) * once.Per)
		if _, ok, _ := m.Take("a", once, from); !ok {
			t.Fatalf("period %d: refused", i)
		}
		for _, after := range []time.Duration{time.Second, 2_333_333_333, once.Per - 1} {
			if _, ok, _ := m.Take("a", once, from.Add(after)); ok {
				t.Fatalf("period %d: permitted after %v", i, after)
			}
		}
	}
}

func TestFullMeterRefuses(t *testing.T) {
	const capacity = 1000
	rate := Rate{N: 2, Per: time.Minute}
	m := NewMeter[int](capacity, Refuse)
	now := start
	for i := range capacity {
		if _, ok, _ := m.Take(i, rate, now); !ok {
			t.Fatalf("key %d is refused", i)
		}
	}
	if wait, ok, first := m.Take(capacity, rate, now); ok || first || wait != 30*time.Second {
		t.Errorf("one more than the capacity: %v, %v, %v", wait, ok, first)
	}
	if _, ok, _ := m.Take(0, rate, now); !ok {
		t.Error("a key that is known is refused")
	}
	// A full meter is swept by itself, but not with every event.
	now = now.Add(30*time.Second - 1)
	if _, ok, _ := m.Take(capacity, rate, now); ok {
		t.Error("no bucket is empty, and one more is permitted")
	}
	now = now.Add(1)
	if _, ok, _ := m.Take(capacity, rate, now); ok {
		t.Error("swept twice within a moment")
	}
	now = now.Add(sweepInterval)
	if _, ok, _ := m.Take(capacity, rate, now); !ok || m.Len() != 2 {
		t.Errorf("%v, with %d keys", ok, m.Len())
	}
	m.Sweep(rate, now.Add(time.Minute))
	if n := m.Len(); n != 0 {
		t.Errorf("%d keys after a sweep", n)
	}
}

// New keys replace new keys: a key with a full bucket gets no other burst.
func TestFullMeterEvictsLeast(t *testing.T) {
	const capacity = 1024
	rate := Rate{N: 3, Per: time.Hour}
	m := NewMeter[int](capacity, EvictLeast)
	for range rate.N {
		m.Take(-1, rate, start)
	}
	for i := range 20_000 {
		if _, ok, _ := m.Take(i, rate, start); !ok {
			t.Fatalf("new key %d is refused", i)
		}
		if _, ok, _ := m.Take(-1, rate, start); ok {
			t.Fatalf("another burst after %d keys", i)
		}
	}
	if n := m.Len(); n != capacity {
		t.Errorf("%d keys, want %d", n, capacity)
	}
}

func TestTakeDoesNotAllocate(t *testing.T) {
	rate := Rate{N: 1 << 20, Per: time.Second}
	for _, full := range []Full{EvictLeast, Refuse} {
		m := NewMeter[Network](16, full)
		m.Take(Network{}, rate, start)
		if n := testing.AllocsPerRun(100, func() { m.Take(Network{}, rate, start) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func TestTable(t *testing.T) {
	table := NewTable[int](64, func(v *int, _ time.Time) float64 { return float64(*v) })
	for i := range 64 {
		table.Update(i, start, func(v *int) { *v += i })
		table.Update(i, start, func(v *int) { *v++ })
	}
	odd := func(_ int, v *int) bool { return *v%2 == 1 }
	for _, e := range table.Select(odd) {
		if e.Value != e.Key+1 || e.Value%2 == 0 {
			t.Errorf("%d has %d", e.Key, e.Value)
		}
	}
	before := table.Len()
	table.DeleteFunc(odd)
	if left := table.Select(odd); len(left) != 0 || table.Len() >= before || table.Len() == 0 {
		t.Errorf("%v are left of %d", left, before)
	}
	for _, e := range table.Select(func(int, *int) bool { return true }) {
		if !table.Find(e.Key, func(v *int) { *v = -1 }) {
			t.Errorf("%d is not found", e.Key)
		}
		if table.Delete(e.Key); table.Find(e.Key, func(*int) {}) {
			t.Errorf("%d is not deleted", e.Key)
		}
	}
	if n := table.Len(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}
