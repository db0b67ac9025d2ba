package registrar

import (
	"context"
	"testing"
	"time"
	"unsafe"

	"silod/sip"
)

// jumped returns a time as after a jump of the system's clock by some days: only what the clock on the wall
// shows is different, not the monotonic reading. Package time cannot make such a time; the seconds
// are in the upper bits of its first word.
func jumped(t time.Time, days int64) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) += uint64(days*86400) << 30
	return t
}

// An expiredTable records the time before which expired rows are deleted.
type expiredTable struct {
	*sharedTable
	before time.Time
}

func (e *expiredTable) DeleteExpired(_ context.Context, before time.Time) (int, error) {
	e.before = before
	return 0, nil
}

// After a jump of the system's clock, the bindings of other programs stay until the clock is right or believed,
// and new ones are used, whichever of the two clocks the program has. Rows that have not expired
// by both are not deleted.
func TestOtherProgramsWhileTheClockMayBeWrong(t *testing.T) {
	for _, days := range []int64{10, -10} {
		now := time.Now().Add(time.Second)
		wall := func() time.Time { return jumped(time.Now(), days) }
		late, early := wall, time.Now
		if days < 0 {
			late, early = early, late
		}
		table := &expiredTable{sharedTable: &sharedTable{}}
		l := New(Options{Store: table, Shared: table, Now: late, Earlier: early}, Settings{})
		a := sip.AoR{User: "bob", Domain: "example.org"}
		row := Binding{RUID: "uloc-1", Contact: "sip:bob@192.0.2.1", Expires: now.Round(0).Add(time.Hour), Modified: now.Round(0)}
		for range 2 {
			if _, err := l.meet(t.Context(), a, row); err != nil {
				t.Fatal(err)
			}
			if len(l.Bindings(a)) != 1 {
				t.Fatalf("%d days: the binding is not used", days)
			}
		}
		if changed, err := l.meet(t.Context(), a, row); changed || err != nil {
			t.Errorf("%d days: a row that is the same has changed: %v %v", days, changed, err)
		}
		if _, err := l.deleteExpired(t.Context()); err != nil || table.before.Round(0).After(now.Round(0)) {
			t.Errorf("%d days: rows that expired before %v are deleted", days, table.before)
		}

		// The clock is right again.
		l.opt.Now, l.opt.Earlier = time.Now, time.Now
		row.Expires = now.Round(0).Add(-time.Minute)
		if _, err := l.meet(t.Context(), a, row); err != nil || len(l.Bindings(a)) != 0 {
			t.Errorf("%d days: the binding has not ended: %v", days, err)
		}
	}
}
