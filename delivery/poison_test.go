package delivery

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

// A message that the device never accepts does not block the others.
func TestPoisonBlocksNothing(t *testing.T) {
	for name, answered := range map[string]bool{"answered 500": true, "not answered": false} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			inEngine(t, func(_ sip.AoR, m *im.Message) Outcome {
				if m.CallID != "poison" {
					return Outcome{Verdict: Delivered}
				}
				tries.Add(1)
				if !answered {
					time.Sleep(32 * time.Second)
				}
				return Outcome{Verdict: Undelivered, Answered: answered}
			}, func(e *Engine, q *Queue, b *box, p *phones) {
				for _, s := range []string{"1", "poison", "2", "3"} {
					b.put(bob, s)
				}
				q.Wake(bob)
				time.Sleep(5 * time.Minute)
				if got := p.received(); !slices.Equal(got, []string{"1", "2", "3"}) {
					t.Fatalf("got %q", got)
				}
				// Once it is known, it does not even delay the next message.
				for i := range 20 {
					b.put(bob, fmt.Sprint("new ", i))
					q.Wake(bob)
					time.Sleep(time.Second)
				}
				if got := len(p.received()); got < 10 {
					t.Errorf("%d of 20 new messages were delivered at once", got-3)
				}
				before := tries.Load()
				time.Sleep(time.Hour)
				if n := tries.Load() - before; n < 3 || n > 15 {
					t.Errorf("it was tried %d times in an hour", n)
				}
				if b.left(bob) != 1 || len(p.received()) != 23 {
					t.Errorf("%d left, received %q", b.left(bob), p.received())
				}
			})
		})
	}
}

// The order is kept for a device that is not reachable, however long: the second message is tried
// only immediately after the first has failed.
func TestOrderHoldsForADeviceThatWasAway(t *testing.T) {
	for away := time.Second; away < 20*time.Minute; away = away * 51 / 50 {
		start := atomic.Int64{}
		inEngine(t, func(sip.AoR, *im.Message) Outcome {
			// As over UDP: 32 s of retransmissions, and an answer when the device is back.
			for range 64 {
				if time.Now().UnixNano()-start.Load() > int64(away) {
					return Outcome{Verdict: Delivered}
				}
				time.Sleep(500 * time.Millisecond)
			}
			return Outcome{Verdict: Undelivered}
		}, func(e *Engine, q *Queue, b *box, p *phones) {
			start.Store(time.Now().UnixNano())
			p.alive = func() bool {
				time.Sleep(time.Second)
				return time.Now().UnixNano()-start.Load() > int64(away)
			}
			for _, s := range []string{"1", "2", "3"} {
				b.put(bob, s)
			}
			q.Wake(bob)
			time.Sleep(time.Hour)
			if got := p.received(); !slices.Equal(got, []string{"1", "2", "3"}) {
				t.Errorf("away for %v: got %q", away, got)
			}
		})
	}
}
