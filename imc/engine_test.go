package imc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"silod/delivery"
	"silod/sip"
)

// phones are the devices of members behind the real delivery engine.
type phones struct {
	mu    sync.Mutex
	got   map[string][]string
	waits map[string]time.Duration // time that a device takes to answer
	gone  map[string]bool          // devices that do not answer within 5 s
	when  map[string]time.Time     // time of the last message
}

func (p *phones) Send(_ context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return attempt{p, short(owner), string(it.Body)}
}

// attempt is a message that is being sent to a device.
type attempt struct {
	*phones
	user, body string
}

func (p attempt) Wait(ctx context.Context) delivery.Outcome {
	u := p.user
	p.mu.Lock()
	wait, gone := p.waits[u], p.gone[u]
	p.mu.Unlock()
	if gone {
		wait = 5 * time.Second
	}
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return delivery.Outcome{Reason: "given up"}
		}
	}
	if gone {
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no answer"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got[u] = append(p.got[u], p.body)
	p.when[u] = time.Now()
	return delivery.Outcome{Verdict: delivery.Delivered, Answered: true}
}

func (p *phones) Alive(context.Context, sip.AoR, []string) bool { return false }

// TestRoomWithEngine runs rooms with the real delivery engine: all members get all
// messages once and in order, a dead or slow device does not delay the others, and a
// device that comes back gets the messages that it missed.
func TestRoomWithEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &phones{got: map[string][]string{}, waits: map[string]time.Duration{}, gone: map[string]bool{}, when: map[string]time.Time{}}
		engine := delivery.New(delivery.Options{Log: quiet})
		queue := engine.Queue()
		s := serviceWith(t, newMemStore(), queue)
		queue.Serve(s, p)
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		for _, run := range []func(context.Context) error{engine.Run, s.Run} {
			running.Go(func() {
				if err := run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		say := func(from, body string) {
			t.Helper()
			req := said(from, body)
			if r := s.Handle(ctx, req); r.Status != 200 {
				t.Fatalf("%s: %s: %+v", from, body, r)
			}
		}
		say("user0", "#create")
		for i := 1; i < 20; i++ {
			say(fmt.Sprintf("user%d", i), "#join")
		}
		synctest.Wait()
		p.mu.Lock()
		clear(p.got)
		p.gone["user1"] = true
		p.waits["user2"] = 3 * time.Second
		p.mu.Unlock()

		start := time.Now()
		var want []string
		for i := range 10 {
			say("user0", fmt.Sprint(i))
			want = append(want, fmt.Sprintf("[user0]: %d", i))
		}
		synctest.Wait() // no time passes
		p.mu.Lock()
		for i := 3; i < 20; i++ {
			u := fmt.Sprintf("user%d", i)
			if !slices.Equal(p.got[u], want) || !p.when[u].Equal(start) {
				t.Errorf("%s got %q after %v", u, p.got[u], p.when[u].Sub(start))
			}
		}
		p.mu.Unlock()

		time.Sleep(time.Minute)
		p.mu.Lock()
		if !slices.Equal(p.got["user2"], want) || len(p.got["user1"]) != 0 {
			t.Errorf("the slow device got %q, the dead one %q", p.got["user2"], p.got["user1"])
		}
		delete(p.gone, "user1")
		p.mu.Unlock()
		engine.Wake(aor("user1")) // it registers
		synctest.Wait()
		p.mu.Lock()
		if !slices.Equal(p.got["user1"], want) {
			t.Errorf("the device that came back got %q", p.got["user1"])
		}
		p.mu.Unlock()
		cancel()
		running.Wait()
	})
}
