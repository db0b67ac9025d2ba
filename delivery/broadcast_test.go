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

// chat is the room of tests.
const chat = "chat"

func people(n int) []sip.AoR {
	all := make([]sip.AoR, n)
	for i := range all {
		all[i] = sip.AoR{User: fmt.Sprint(i), Domain: "example.org"}
	}
	return all
}

// A broadcast wakes all members but the sender. Messages that are sent meanwhile reach
// the members that were woken before as well.
func TestBroadcast(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		all := people(300)
		say := func(from int, text string) {
			for i, a := range all {
				if i != from {
					b.put(a, text)
				}
			}
			q.WakeAll(chat, all, all[from])
		}
		say(0, "1")
		say(0, "2")
		time.Sleep(500 * time.Microsecond) // during the first one
		say(7, "3")
		e.scheduler.mu.Lock()
		if n := len(e.scheduler.broadcasts.list); n > 1 {
			t.Errorf("%d broadcasts to the same members", n)
		}
		e.scheduler.mu.Unlock()
		time.Sleep(time.Second)
		e.scheduler.mu.Lock()
		if n := len(e.scheduler.broadcasts.list) + len(e.scheduler.groups); n > 0 {
			t.Errorf("%d broadcasts in the end", n)
		}
		e.scheduler.mu.Unlock()
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

// inOrder is a Sender that records the order of its calls.
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

func (s *inOrder) Alive(context.Context, sip.AoR, []string) bool { return true }

// A personal message does not wait for a broadcast.
func TestBroadcastIsBehindOthers(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, _ *phones) {
		s := new(inOrder)
		q.Serve(b, s)
		for range e.workers.cpu.usual { // nothing happens until both have been woken
			e.workers.cpu.acquire()
		}
		all := people(100)
		for _, a := range all {
			b.put(a, "room")
		}
		q.WakeAll(chat, all, sip.AoR{})
		b.put(bob, "bob")
		q.Wake(bob)
		for range e.workers.cpu.usual {
			e.workers.cpu.release()
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := slices.Index(s.asked, bob); len(s.asked) != 101 || n > e.workers.cpu.usual {
			t.Errorf("%d were sent to, bob as number %d", len(s.asked), n)
		}
	})
}

// However many devices of a broadcast are dead, a user that gets a personal message, or
// comes online, is served at once, and so are the members that answer when a few of the
// dead ones have been given up.
func TestBroadcastToDeadDevices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 400
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
		all := append(people(1000), carol)
		for _, a := range all {
			b.put(a, "room")
		}
		q.WakeAll(chat, all, sip.AoR{})
		for range 20 {
			time.Sleep(time.Minute)
			b.put(bob, "bob")
			q.Wake(bob)
			time.Sleep(2 * time.Millisecond)
			if b.left(bob) != 0 {
				t.Error("bob waits for dead devices")
			}
		}
		if b.left(carol) != 0 {
			t.Error("carol, at the end of the broadcast, has nothing yet")
		}
		cancel()
		running.Wait()
	})
}
