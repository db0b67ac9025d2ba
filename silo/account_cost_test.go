package silo

import (
	"testing"
	"time"
)

// A reading that took long is not repeated before twenty times that time has passed.
func TestTallyCost(t *testing.T) {
	a, now := &account{}, time.Unix(1000, 0)
	for _, tc := range []struct {
		cost, age time.Duration
		admitted  bool
		removals  int
		want      bool
	}{
		{0, accountLife - 1, true, 0, true},
		{0, accountLife, true, 0, false},
		{6 * time.Second, accountLife, true, 0, true},
		{6 * time.Second, 2 * time.Minute, true, 0, false},
		{time.Millisecond, fullLife - 1, false, 0, true},
		{time.Millisecond, fullLife, false, 0, false},
		{time.Millisecond, 20 * time.Millisecond, false, 1, false},
		{time.Second, 20*time.Second - 1, false, 0, true},
		{time.Second, 20 * time.Second, false, 0, false},
		{time.Second, time.Second, false, 1, false},
	} {
		a.removals = tc.removals
		tally := tally{read: now.Add(-tc.age), cost: tc.cost}
		if got := tally.fresh(a, now, tc.admitted); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	if (&tally{cost: time.Hour}).fresh(a, now, true) {
		t.Error("it was not read yet")
	}
}
