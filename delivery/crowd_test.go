package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/im"
	"silod/sip"
)

func people(n int) []sip.AoR {
	all := make([]sip.AoR, n)
	for i := range all {
		all[i] = sip.AoR{User: fmt.Sprint(i), Domain: "example.org"}
	}
	return all
}

// A crowd is woken, all but the one who spoke; what is said while that goes on is
// brought to those too who were woken already.
func TestCrowd(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		all := people(300)
		say := func(from int, text string) {
			for i, a := range all {
				if i != from {
					b.put(a, text)
				}
			}
			q.WakeAll(all, all[from])
		}
		say(0, "1")
		say(0, "2")
		time.Sleep(500 * time.Microsecond) // amid the first
		say(7, "3")
		e.mu.Lock()
		if n := len(e.crowds.line); n > 1 {
			t.Errorf("%d crowds of the same people", n)
		}
		e.mu.Unlock()
		time.Sleep(time.Second)
		e.mu.Lock()
		if n := len(e.crowds.line) + len(e.crowds.known); n > 0 {
			t.Errorf("%d crowds in the end", n)
		}
		e.mu.Unlock()
		for _, a := range all {
			if n := b.left(a); n != 0 {
				t.Errorf("%s has %d left", a, n)
			}
		}
		if got := len(p.received()); got != 3*299 || e.Active() != 0 {
			t.Errorf("%d messages arrived, %d active", got, e.Active())
		}
	})
}

// inOrder is a Sender that remembers in which order it was asked.
type inOrder struct {
	mu    sync.Mutex
	asked []sip.AoR
}

func (s *inOrder) Send(_ context.Context, a sip.AoR, _ *Item) Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, a)
	return Outcome{Verdict: Delivered}
}

func (s *inOrder) Alive(context.Context, sip.AoR) bool { return true }

// Who is written to in person does not wait for a crowd.
func TestCrowdStandsBehind(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, _ *phones) {
		s := new(inOrder)
		q.Serve(b, s)
		for range e.turns.least { // nothing happens until both have been woken
			e.turns.begin()
		}
		all := people(100)
		for _, a := range all {
			b.put(a, "room")
		}
		q.WakeAll(all, sip.AoR{})
		b.put(bob, "bob")
		q.Wake(bob)
		for range e.turns.least {
			e.turns.end()
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := slices.Index(s.asked, bob); len(s.asked) != 101 || n > e.turns.least {
			t.Errorf("%d were sent to, bob as number %d", len(s.asked), n)
		}
	})
}

// However many phones of a crowd are dead, who is written to in person, or comes online,
// is served at once, and so are those of the crowd who are there when a few have been
// given up.
func TestCrowdOfTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 100
		dead := func(a sip.AoR, _ *im.Message) Outcome {
			if a == bob || a == carol {
				return Outcome{Verdict: Delivered}
			}
			time.Sleep(32 * time.Second)
			return Outcome{Verdict: Undelivered}
		}
		p := &phones{flying: map[sip.AoR]int{}, answer: dead}
		e := New(Options{Workers: workers})
		b, q := newBox(), e.Queue()
		q.Serve(b, p)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = e.Run(ctx) })
		all := append(people(10*workers), carol)
		for _, a := range all {
			b.put(a, "room")
		}
		q.WakeAll(all, sip.AoR{})
		for range 20 {
			time.Sleep(time.Minute)
			b.put(bob, "bob")
			q.Wake(bob)
			time.Sleep(2 * time.Millisecond)
			if b.left(bob) != 0 {
				t.Error("bob waits for the dead")
			}
		}
		if b.left(carol) != 0 {
			t.Error("carol, at the end of the crowd, has nothing yet")
		}
		cancel()
		running.Wait()
	})
}
