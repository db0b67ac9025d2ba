package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

// A crowd is a Sender to devices of three kinds, by the first letter of the user: those of d(ead)
// users do not answer, those of s(low) users answer after 28 s, all others after 5 ms. Dead
// ones answer while they are up. It records when each owner last got a message.
type crowd struct {
	mu   sync.Mutex
	up   bool
	got  map[sip.AoR]time.Time
	most int // workers at once
	e    *Engine
}

func (c *crowd) Send(_ context.Context, a sip.AoR, _ *Item) Attempt {
	return later(func() Outcome {
		busy, _ := c.e.scheduler.numbers()
		c.mu.Lock()
		c.most = max(c.most, busy)
		kind := a.User[0]
		if c.up {
			kind = 'l'
		}
		c.mu.Unlock()
		switch kind {
		case 'd':
			time.Sleep(32 * time.Second)
			return Outcome{Verdict: Undelivered}
		case 's':
			time.Sleep(28 * time.Second)
		default:
			time.Sleep(5 * time.Millisecond)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[a] = time.Now()
		return Outcome{Verdict: Delivered}
	})
}

func (c *crowd) Alive(context.Context, sip.AoR, []string) bool { return true }

func (c *crowd) last(a sip.AoR) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[a]
}

// users returns users of a kind. If domains is 1, they are at one destination, else each of n.
func users(kind string, n, domains int) []sip.AoR {
	all := make([]sip.AoR, n)
	for i := range all {
		all[i] = sip.AoR{User: fmt.Sprint(kind, i), Domain: fmt.Sprintf("%d.%s.example", i%domains, kind)}
	}
	return all
}

// A message to a room, and one to a user, arrives at once, however many recipients of other
// rooms and destinations do not answer, or answer late. The workers that these take are bounded.
func TestFairness(t *testing.T) {
	const many = 10_000
	rooms := func(n int, bad []sip.AoR) func(q *Queue) {
		return func(q *Queue) {
			for i := range n {
				size := len(bad) / n
				q.WakeAll(i, bad[i*size:(i+1)*size], sip.AoR{})
			}
		}
	}
	single := func(bad []sip.AoR) func(q *Queue) {
		return func(q *Queue) {
			for _, a := range bad {
				q.Wake(a)
			}
		}
	}
	for _, tc := range []struct {
		name  string
		bad   []sip.AoR
		wake  func(bad []sip.AoR) func(q *Queue)
		up    bool // the dead ones answered before
		first time.Duration
	}{
		{"dead members of one room", users("d", many, 1), func(b []sip.AoR) func(*Queue) { return rooms(1, b) }, false, 100 * time.Millisecond},
		{"each at its own destination", users("d", many, many), func(b []sip.AoR) func(*Queue) { return rooms(1, b) }, false, 100 * time.Millisecond},
		{"members that die", users("d", many, many), func(b []sip.AoR) func(*Queue) { return rooms(1, b) }, true, 100 * time.Millisecond},
		{"many rooms", users("d", many, many), func(b []sip.AoR) func(*Queue) { return rooms(100, b) }, false, lateAfter + time.Second},
		{"mailboxes at one destination", users("d", many, 1), single, false, 100 * time.Millisecond},
		{"mailboxes at many destinations", users("d", many, many), single, false, 5 * time.Minute},
		{"slow members", users("s", many, 1), func(b []sip.AoR) func(*Queue) { return rooms(1, b) }, false, 100 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &crowd{got: map[sip.AoR]time.Time{}, up: tc.up}
				c.e = New(Options{})
				b, q := newBox(), c.e.Queue()
				q.Serve(b, c)
				ctx, cancel := context.WithCancel(t.Context())
				var running sync.WaitGroup
				running.Go(func() { _ = c.e.Run(ctx) })
				defer running.Wait()
				defer cancel()
				fill := func() {
					for _, a := range tc.bad {
						b.put(a, "bad")
					}
					tc.wake(tc.bad)(q)
				}
				if tc.up {
					fill()
					time.Sleep(time.Minute)
					c.mu.Lock()
					c.up = false
					c.mu.Unlock()
				}
				live := users("l", 20, 3)
				for word := range 24 {
					if word%8 == 0 {
						fill()
					}
					time.Sleep(time.Second)
					said := time.Now()
					for _, a := range live {
						b.put(a, fmt.Sprint(word))
					}
					b.put(bob, fmt.Sprint(word))
					q.WakeAll("live", live, sip.AoR{})
					q.Wake(bob)
					limit := 100 * time.Millisecond
					if word == 0 {
						limit = tc.first
					}
					time.Sleep(limit)
					for _, a := range append(live, bob) {
						if at := c.last(a); at.Before(said) {
							t.Fatalf("word %d has not reached %s", word, a)
						}
					}
				}
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.most > 3200 {
					t.Errorf("%d workers", c.most)
				}
				t.Logf("%d workers at most, %d of %d got a message", c.most, len(c.got)-21, len(tc.bad))
			})
		})
	}
}

// Slow members are all served, behind dead ones too.
func TestSlowMembersAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{got: map[sip.AoR]time.Time{}}
		c.e = New(Options{})
		b, q := newBox(), c.e.Queue()
		q.Serve(b, c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.e.Run(ctx) })
		slow := users("s", 300, 300)
		members := append(users("d", 5000, 5000), slow...)
		for range 3 {
			said := time.Now()
			for _, a := range members {
				b.put(a, "word")
			}
			q.WakeAll(chat, members, sip.AoR{})
			time.Sleep(5 * time.Minute)
			for _, a := range slow {
				if at := c.last(a); at.Before(said) {
					t.Fatalf("%s got nothing in 5 minutes", a)
				}
			}
		}
		cancel()
		running.Wait()
	})
}

// Groups are dropped when nothing waits, also after recipients have changed their line.
func TestNoGroupIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{got: map[sip.AoR]time.Time{}}
		c.e = New(Options{Workers: 1})
		b, q := newBox(), c.e.Queue()
		q.Serve(b, c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = c.e.Run(ctx) })
		dead := users("d", 20, 20)
		for _, a := range dead {
			b.put(a, "word")
			q.Wake(a)
		}
		time.Sleep(15 * time.Minute) // most wait for the only worker of those that do not answer
		c.mu.Lock()
		c.up = true
		c.mu.Unlock()
		for _, a := range dead {
			c.e.RetryNow(a)
		}
		time.Sleep(10 * time.Minute)
		if n := c.e.Active(); n != 0 {
			t.Errorf("%d recipients are active", n)
		}
		if n := len(c.e.scheduler.groups); n != 0 {
			t.Errorf("%d groups are left", n)
		}
		cancel()
		running.Wait()
	})
}
