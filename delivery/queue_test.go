package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

func TestLaterGoesBehindTheRest(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		var want, receipts []string
		for i := range 20 {
			b.put(bob, fmt.Sprint(i))
			if i%3 == 0 {
				b.items[bob][i].Later = true
				receipts = append(receipts, fmt.Sprint(i))
			} else {
				want = append(want, fmt.Sprint(i))
			}
		}
		q.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, append(want, receipts...)) {
			t.Errorf("got %q", got)
		}
		if b.left(bob) != 0 || e.Active() != 0 {
			t.Error("items or recipients are left")
		}
	})
}

// A message that arrives while receipts are delivered does not wait for all of them.
func TestChatDoesNotWaitForReceipts(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		for i := range 300 {
			b.put(bob, fmt.Sprint("receipt ", i))
			b.items[bob][i].Later = true
		}
		q.Wake(bob)
		for i := range 10 {
			time.Sleep(20 * time.Millisecond) // 20 receipts
			b.put(bob, fmt.Sprint("chat ", i))
			q.Wake(bob)
			time.Sleep(6 * time.Millisecond) // the rest of a page, and one more
			if got := p.received(); !slices.Contains(got, fmt.Sprint("chat ", i)) {
				t.Errorf("after %d messages chat %d has not come", len(got), i)
			}
		}
		time.Sleep(time.Second)
		var receipts []string
		for _, s := range p.received() {
			if s[0] == 'r' {
				receipts = append(receipts, s)
			}
		}
		if len(p.received()) != 310 || receipts[299] != "receipt 299" || receipts[0] != "receipt 0" {
			t.Errorf("got %q", p.received())
		}
	})
}

// A message that has expired while it waited is not sent.
func TestExpiredIsNotSent(t *testing.T) {
	inEngine(t, func(_ sip.AoR, m *im.Message) Outcome {
		time.Sleep(10 * time.Second)
		return Outcome{Verdict: Delivered}
	}, func(e *Engine, q *Queue, b *box, p *phones) {
		for i := range 3 {
			b.put(bob, fmt.Sprint(i))
			b.items[bob][i].Expires = time.Now().Add(15 * time.Second)
		}
		q.Wake(bob)
		time.Sleep(time.Minute)
		if got := p.received(); !slices.Equal(got, []string{"0", "1"}) {
			t.Errorf("got %q", got)
		}
	})
}

// A long queue is read in pages, each of them once.
func TestQueueIsReadInPages(t *testing.T) {
	const messages = 1000
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		c := &counting{box: b}
		q.Serve(c, p)
		for i := range messages {
			b.put(bob, fmt.Sprint(i))
		}
		q.Wake(bob)
		time.Sleep(time.Minute)
		if n := len(p.received()); n != messages {
			t.Errorf("%d delivered", n)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if c.most > e.opt.Page || c.read > messages {
			t.Errorf("%d items were read, up to %d at once", c.read, c.most)
		}
	})
}

// counting is a box that counts the items that are read.
type counting struct {
	*box
	most, read int
}

func (c *counting) Next(ctx context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	items, err := c.box.Next(ctx, a, after, limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most, c.read = max(c.most, len(items)), c.read+len(items)
	return items, err
}

// shelf is a Source of which every device gets a copy.
type shelf struct {
	mu    sync.Mutex
	items []Item
	got   map[string][]string // Call-IDs by device
}

// view is the shelf as one device sees it.
type view struct {
	*shelf
	device string
}

func (v view) Next(_ context.Context, _ sip.AoR, after int64, limit int) ([]Item, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []Item
	for _, it := range v.items {
		if it.Key > after && len(out) < limit && !slices.Contains(v.got[v.device], it.CallID) {
			out = append(out, it)
		}
	}
	return out, nil
}

func (v view) Settle(_ sip.AoR, it *Item, _ Outcome, done func(error)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.got[v.device] = append(v.got[v.device], it.CallID)
	go done(nil)
}

func (v view) Waiting(_ context.Context, f func(sip.AoR)) error {
	f(bob)
	return nil
}

func TestEveryDeviceGetsACopyInItsOwnTime(t *testing.T) {
	inEngine(t, accept, func(e *Engine, _ *Queue, _ *box, p *phones) {
		s := &shelf{got: map[string][]string{}}
		var want []string
		for i := range 10 {
			s.items = append(s.items, Item{Key: int64(i + 1), Message: im.Message{CallID: fmt.Sprint(i)}})
			want = append(want, fmt.Sprint(i))
		}
		there := []string{"phone", "dead", "tablet"}
		q := e.Queue()
		q.ServeDevices(func(sip.AoR) []string { return there }, func(device string) (Source, Sender) {
			if device == "dead" {
				return view{s, device}, &phones{flying: map[sip.AoR]int{}, answer: func(sip.AoR, *im.Message) Outcome {
					time.Sleep(32 * time.Second)
					return Outcome{Verdict: Undelivered}
				}, alive: func() bool { return false }}
			}
			return view{s, device}, &phones{flying: map[sip.AoR]int{}, answer: accept}
		})
		if err := e.WakeWaiting(t.Context(), func(a sip.AoR) bool { return a == bob }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		s.mu.Lock()
		for _, device := range []string{"phone", "tablet"} {
			if got := s.got[device]; !slices.Equal(got, want) {
				t.Errorf("the %s got %q", device, got)
			}
		}
		s.mu.Unlock()
		there = append(there, "laptop") // comes later
		e.Wake(bob)
		time.Sleep(time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if got := s.got["laptop"]; !slices.Equal(got, want) {
			t.Errorf("the laptop got %q", got)
		}
		if n := len(s.got["dead"]); n != 0 {
			t.Errorf("the dead one got %d", n)
		}
	})
}
