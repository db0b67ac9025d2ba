package delivery

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

// An owner that is not known to be online is tried first when a retry would be due, then with
// back-off; a REGISTER ends the wait.
func TestWakeLater(t *testing.T) {
	var up atomic.Bool
	var tries atomic.Int32
	inEngine(t, func(sip.AoR, *im.Message) Outcome {
		tries.Add(1)
		if up.Load() {
			return Outcome{Verdict: Delivered}
		}
		return Outcome{Verdict: Undelivered, Answered: true}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "1")
		for range 3 { // more messages do not postpone the first try, nor have it made at once
			q.WakeLater(bob)
			time.Sleep(time.Second)
		}
		if n := tries.Load(); n != 0 || !q.Busy(bob) {
			t.Errorf("%d tries after 3 s, busy %v", n, q.Busy(bob))
		}
		for _, at := range []struct {
			wait  time.Duration
			tries int32
		}{{3 * time.Second, 1}, {10 * time.Second, 2}, {20 * time.Second, 3}} {
			time.Sleep(at.wait)
			if n := tries.Load(); n != at.tries {
				t.Errorf("%d tries, want %d", n, at.tries)
			}
		}
		up.Store(true)
		e.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1"}) {
			t.Errorf("got %q", got)
		}
		q.WakeLater(bob)
		time.Sleep(time.Minute)
		if e.Active() != 0 {
			t.Error("bob is remembered although nothing waits")
		}
	})
}

// After a start, owners that are reachable are tried one after the other, not all at once, and
// others not at all.
func TestRevisitAfterStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := people(500)
		p := &phones{flying: map[sip.AoR]int{}, answer: func(a sip.AoR, _ *im.Message) Outcome {
			if a == all[1] {
				return Outcome{Verdict: Undelivered}
			}
			return Outcome{Verdict: Delivered}
		}}
		e := New(Options{Reachable: func(a sip.AoR) bool { return a != all[0] }})
		e.Configure(Settings{Retry: 2 * time.Second, MaxRetry: time.Minute})
		b, q := newBox(), e.Queue()
		q.Serve(b, p)
		for _, a := range all {
			b.put(a, a.User)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = e.Run(ctx) })
		time.Sleep(1900 * time.Millisecond)
		if n := len(p.received()); n != 0 {
			t.Errorf("%d tries before the first retry is due", n)
		}
		time.Sleep(1100 * time.Millisecond)
		if n := len(p.received()); n < 50 || n > 150 {
			t.Errorf("%d tries in the first second", n)
		}
		time.Sleep(10 * time.Second)
		if n := len(p.received()); n != 498 || b.left(all[0]) != 1 || b.left(all[1]) != 1 {
			t.Errorf("%d were delivered; left for those that cannot be reached: %d, %d", n, b.left(all[0]), b.left(all[1]))
		}
		if n := e.Active(); n != 1 {
			t.Errorf("%d recipients are remembered", n)
		}
		cancel()
		running.Wait()
	})
}

// Recipients above the limit are not remembered, but found again.
func TestRevisitAboveLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		p := &phones{flying: map[sip.AoR]int{}, answer: func(sip.AoR, *im.Message) Outcome {
			if up.Load() {
				return Outcome{Verdict: Delivered}
			}
			return Outcome{Verdict: Undelivered}
		}}
		e := New(Options{Reachable: func(sip.AoR) bool { return true }})
		b, q := newBox(), e.Queue()
		q.Serve(b, p)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = e.Run(ctx) })
		all := people(maxRecipients + 300)
		for _, a := range all {
			q.WakeLater(a)
		}
		if n := e.Active(); n != maxRecipients {
			t.Errorf("%d recipients are remembered", n)
		}
		for _, a := range all[maxRecipients:] {
			b.put(a, "1")
		}
		up.Store(true)
		time.Sleep(6 * time.Minute)
		for _, a := range all[maxRecipients:] {
			if b.left(a) != 0 {
				t.Fatalf("%s has a message left", a)
			}
		}
		cancel()
		running.Wait()
	})
}
