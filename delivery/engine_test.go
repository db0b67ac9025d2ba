package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

var (
	bob   = sip.AoR{User: "bob", Domain: "example.org"}
	carol = sip.AoR{User: "carol", Domain: "example.org"}
)

// box is a Source in memory.
type box struct {
	mu    sync.Mutex
	items map[sip.AoR][]Item
	aside map[int64]string
	key   int64
	fail  error // of Next
}

func newBox() *box { return &box{items: map[sip.AoR][]Item{}, aside: map[int64]string{}} }

func (b *box) put(a sip.AoR, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.key++
	b.items[a] = append(b.items[a], Item{Key: b.key, Message: im.Message{CallID: text}})
}

func (b *box) Next(_ context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Item
	for _, it := range b.items[a] {
		if it.Key > after && len(out) < limit {
			out = append(out, it)
		}
	}
	return out, b.fail
}

func (b *box) Settle(a sip.AoR, it *Item, out Outcome, done func(error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items[a] = slices.DeleteFunc(b.items[a], func(x Item) bool { return x.Key == it.Key })
	if out.Verdict == Refused {
		b.aside[it.Key] = out.Reason
	}
	go done(nil)
}

func (b *box) Waiting(_ context.Context, f func(sip.AoR)) error {
	b.mu.Lock()
	owners := slices.Collect(maps.Keys(b.items))
	b.mu.Unlock()
	for _, a := range owners { // f may wait
		f(a)
	}
	return nil
}

func (b *box) left(a sip.AoR) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items[a])
}

// phones is a Sender with answers of the test.
type phones struct {
	mu     sync.Mutex
	got    []string
	flying map[sip.AoR]int
	answer func(a sip.AoR, m *im.Message) Outcome
	alive  func() bool // nil: they are
}

func (p *phones) Send(_ context.Context, a sip.AoR, it *Item) Attempt {
	return later(func() Outcome { return p.ring(a, &it.Message) })
}

// later is an Attempt with an outcome that is not known before Wait.
type later func() Outcome

func (f later) Wait(context.Context) Outcome { return f() }

func (p *phones) ring(a sip.AoR, m *im.Message) Outcome {
	p.mu.Lock()
	p.flying[a]++
	if p.flying[a] > 1 {
		p.got = append(p.got, "TWO AT ONCE")
	}
	p.mu.Unlock()
	time.Sleep(time.Millisecond)
	out := p.answer(a, m)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying[a]--
	if out.Verdict == Delivered {
		p.got = append(p.got, m.CallID)
	}
	return out
}

func (p *phones) Alive(context.Context, sip.AoR, []string) bool { return p.alive == nil || p.alive() }

func (p *phones) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

// inEngine runs a test with an engine, its first queue's box and a Sender.
func inEngine(t *testing.T, answer func(sip.AoR, *im.Message) Outcome, f func(e *Engine, q *Queue, b *box, p *phones)) {
	synctest.Test(t, func(t *testing.T) {
		p := &phones{flying: map[sip.AoR]int{}, answer: answer}
		e := New(Options{Page: 3})
		b, q := newBox(), e.Queue()
		q.Serve(b, p)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		f(e, q, b, p)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func accept(sip.AoR, *im.Message) Outcome { return Outcome{Verdict: Delivered} }

func TestDeliversInOrderOneAtATime(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			b.put(bob, fmt.Sprint(i))
			q.Wake(bob)
			q.Wake(bob)
		}
		if !q.Busy(bob) {
			t.Error("not busy with 20 messages waiting")
		}
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
		if q.Busy(bob) || e.Active() != 0 || b.left(bob) != 0 {
			t.Error("items or recipients are left")
		}
	})
}

func TestNoWakeUpIsLost(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				time.Sleep(time.Duration(i*37%100) * 100 * time.Microsecond)
				b.put(bob, fmt.Sprint(i))
				q.Wake(bob)
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		if b.left(bob) != 0 || len(p.received()) != 200 {
			t.Errorf("%d left, %d received", b.left(bob), len(p.received()))
		}
	})
}

func TestRetriesWithBackOffAndAtWake(t *testing.T) {
	var tries atomic.Int32
	var up atomic.Bool
	inEngine(t, func(sip.AoR, *im.Message) Outcome {
		tries.Add(1)
		if up.Load() {
			return Outcome{Verdict: Delivered}
		}
		return Outcome{Verdict: Undelivered, Reason: "486 Busy Here", Answered: true}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "1")
		b.put(bob, "2")
		q.Wake(bob)
		time.Sleep(14 * time.Second) // tries at 0 and 5 s
		if n := tries.Load(); n != 2 || !q.Busy(bob) {
			t.Errorf("%d tries in 14 s, busy %v", n, q.Busy(bob))
		}
		time.Sleep(26 * time.Second) // at 15 and 35 s the second message is tried as well
		if n := tries.Load(); n != 6 || !q.Busy(bob) {
			t.Errorf("%d tries in 40 s, busy %v", n, q.Busy(bob))
		}
		up.Store(true)
		e.Wake(bob) // a REGISTER does not wait for the timer
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestRefusedIsSetAsideAndBlocksNothing(t *testing.T) {
	inEngine(t, func(_ sip.AoR, m *im.Message) Outcome {
		if m.CallID == "2" {
			return Outcome{Verdict: Refused, Reason: "603 Decline"}
		}
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		for _, s := range []string{"1", "2", "3"} {
			b.put(bob, s)
		}
		q.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1", "3"}) || b.aside[2] != "603 Decline" {
			t.Errorf("got %q, set aside %v", got, b.aside)
		}
	})
}

func TestOfflineIsForgottenUntilWoken(t *testing.T) {
	var online atomic.Bool
	inEngine(t, func(sip.AoR, *im.Message) Outcome {
		if !online.Load() {
			return Outcome{Verdict: Offline}
		}
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "1")
		q.Wake(bob)
		time.Sleep(time.Minute)
		if e.Active() != 0 {
			t.Error("an offline owner takes memory")
		}
		online.Store(true)
		e.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
}

func TestSlowRecipientDelaysNoOther(t *testing.T) {
	inEngine(t, func(a sip.AoR, _ *im.Message) Outcome {
		if a == carol {
			time.Sleep(32 * time.Second)
			return Outcome{Verdict: Undelivered}
		}
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(carol, "slow")
		q.Wake(carol)
		b.put(bob, "fast")
		q.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"fast"}) {
			t.Errorf("got %q", got)
		}
	})
}

// While the router waits for a device's late answer to a message that it has stored
// meanwhile, the engine sends nothing to the owner.
func TestHold(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		release := q.Hold(bob)
		b.put(bob, "1")
		q.Wake(bob)
		e.Wake(bob)
		time.Sleep(10 * time.Second)
		if got := p.received(); len(got) != 0 || !q.Busy(bob) {
			t.Errorf("during the hold: %q, busy %v", got, q.Busy(bob))
		}
		release()
		time.Sleep(time.Second)
		if got := p.received(); len(got) != 1 || q.Busy(bob) {
			t.Errorf("after the hold: %q, busy %v", got, q.Busy(bob))
		}
	})
}

func TestBusyIsPerQueue(t *testing.T) {
	inEngine(t, func(sip.AoR, *im.Message) Outcome {
		time.Sleep(time.Second)
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		second, rooms := e.Queue(), newBox()
		second.Serve(rooms, p)
		rooms.put(bob, "room")
		second.Wake(bob)
		time.Sleep(500 * time.Millisecond)
		if q.Busy(bob) || !second.Busy(bob) {
			t.Errorf("busy: first %v, second %v", q.Busy(bob), second.Busy(bob))
		}
		b.put(bob, "silo")
		q.Wake(bob)
		time.Sleep(10 * time.Second)
		if got := p.received(); !slices.Equal(got, []string{"room", "silo"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestSourceFailureIsRetried(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "1")
		b.fail = errors.New("database is not available")
		q.Wake(bob)
		time.Sleep(time.Second)
		b.mu.Lock()
		b.fail = nil
		b.mu.Unlock()
		time.Sleep(10 * time.Second)
		if got := p.received(); len(got) != 1 {
			t.Errorf("got %q", got)
		}
	})
}

// A source that cannot be read when the daemon starts does not stop it, and is read later.
func TestWakeWaitingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phones{flying: map[sip.AoR]int{}, answer: accept}
		e := New(Options{Reachable: func(sip.AoR) bool { return true }})
		b, q := &unreadable{box: newBox()}, e.Queue()
		q.Serve(b, p)
		b.put(bob, "for bob")
		if err := e.WakeWaiting(t.Context(), func(sip.AoR) bool { return true }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = e.Run(ctx) })
		time.Sleep(time.Minute)
		if got := p.received(); !slices.Equal(got, []string{"for bob"}) {
			t.Errorf("got %q", got)
		}
		cancel()
		running.Wait()
	})
}

// An unreadable box cannot be read once.
type unreadable struct {
	*box
	read bool
}

func (b *unreadable) Waiting(ctx context.Context, f func(sip.AoR)) error {
	if !b.read {
		b.read = true
		return errors.New("read timeout")
	}
	return b.box.Waiting(ctx, f)
}

func TestWakeWaitingWakesOnlineOwners(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		b.put(bob, "for bob")
		b.put(carol, "for carol")
		if err := e.WakeWaiting(t.Context(), func(a sip.AoR) bool { return a == bob }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"for bob"}) {
			t.Errorf("got %q", got)
		}
	})
}
