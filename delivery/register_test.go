package delivery

import (
	"sync/atomic"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

// refuser answers 500 and counts.
func refuser(tries *atomic.Int32) func(sip.AoR, *im.Message) Outcome {
	return func(sip.AoR, *im.Message) Outcome {
		tries.Add(1)
		return Outcome{Verdict: Undelivered, Reason: "500", Answered: true}
	}
}

// New messages do not end the wait for a retry: a device that refuses for the moment is not
// sent all that wait at every one.
func TestNewMessagesDoNotHammer(t *testing.T) {
	var tries atomic.Int32
	inEngine(t, refuser(&tries), func(_ *Engine, q *Queue, b *box, _ *phones) {
		for range 60 {
			b.put(bob, "word")
			q.Wake(bob)
			time.Sleep(250 * time.Millisecond)
		}
		if n := tries.Load(); n > 4 { // at 0 and 5 s, and the third with the item behind it at 15 s
			t.Errorf("%d requests for 60 messages in 15 s", n)
		}
	})
}

// The first REGISTER ends a wait at once. A client that registers every second is not
// sent to every second, but is when it accepts messages again, and has not been forgotten.
func TestRegisterDoesNotHammer(t *testing.T) {
	var tries atomic.Int32
	inEngine(t, refuser(&tries), func(e *Engine, q *Queue, b *box, _ *phones) {
		b.put(bob, "word")
		q.Wake(bob)
		time.Sleep(time.Second)
		e.Wake(bob)
		time.Sleep(10 * time.Millisecond)
		if n := tries.Load(); n != 2 {
			t.Errorf("%d requests after the first REGISTER, want 2", n)
		}
		for range 60 {
			e.Wake(bob)
			e.Refreshed(bob)
			time.Sleep(time.Second)
		}
		if n := tries.Load(); n < 4 || n > 14 {
			t.Errorf("%d requests in a minute of REGISTERs", n)
		}
		before := tries.Load()
		e.RetryNow(bob)
		time.Sleep(10 * time.Millisecond)
		if n := tries.Load(); n != before+1 {
			t.Errorf("%d requests after a command", n-before)
		}
	})
}
