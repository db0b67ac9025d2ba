package delivery

import (
	"slices"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

// A pass that is in progress when a hold begins does not send the message that is stored
// under the hold: it is in flight already.
func TestHoldDuringAPass(t *testing.T) {
	inEngine(t, func(sip.AoR, *im.Message) Outcome {
		time.Sleep(time.Second)
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "1")
		q.Wake(bob)
		time.Sleep(500 * time.Millisecond)
		release := q.Hold(bob)
		b.put(bob, "2")
		q.Wake(bob)
		time.Sleep(10 * time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1"}) {
			t.Errorf("during the hold: %q", got)
		}
		release()
		time.Sleep(10 * time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1", "2"}) || q.Busy(bob) || e.Active() != 0 {
			t.Errorf("after the hold: %q", got)
		}
	})
}
