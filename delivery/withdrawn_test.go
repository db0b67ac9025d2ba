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

// A bound withdraws the items with keys up to it.
type bound struct{ atomic.Int64 }

func (b *bound) Withdrawn(it *Item) bool { return it.Key <= b.Load() }

// TestWithdrawnItemsAreNotSent checks that items which the Source withdraws after the engine has read
// them are not sent, nor settled, and that an item that is withdrawn in flight is not tried again.
func TestWithdrawnItemsAreNotSent(t *testing.T) {
	var upTo bound
	tries := 0
	answer := func(_ sip.AoR, m *im.Message) Outcome {
		tries++
		upTo.Store(9) // during the first item, in a page of three
		if m.CallID == "1" {
			return Outcome{Verdict: Undelivered}
		}
		return Outcome{Verdict: Delivered}
	}
	inEngine(t, answer, func(e *Engine, q *Queue, b *box, p *phones) {
		for i := range 10 {
			b.put(bob, fmt.Sprint(i+1))
			b.items[bob][i].Row = &upTo
		}
		q.Wake(bob)
		time.Sleep(time.Hour)
		if got := p.received(); !slices.Equal(got, []string{"10"}) || tries != 2 {
			t.Errorf("got %q in %d tries", got, tries)
		}
		if n := b.left(bob); n != 9 || e.Active() != 0 || e.Failed.Value() != 0 {
			t.Errorf("%d items are left, %d recipients are active, %d tries failed", n, e.Active(), e.Failed.Value())
		}
	})
}
