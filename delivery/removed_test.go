package delivery

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"silod/im"
	"silod/sip"
)

// back returns removed items to the mailbox, as a standby does that has not received their
// removal.
func (b *box) back(a sip.AoR, items ...Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.items[a] = slices.Concat(items, b.items[a])
}

// Items that the Source returns after it has removed them are not sent again, but removed
// again. Items with the same keys and other Call-IDs are sent.
func TestRemovedItemsAreNotSentAgain(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		var want []string
		for i := range 30 {
			want = append(want, fmt.Sprint(i))
			b.put(bob, want[i])
		}
		items, _ := b.Next(t.Context(), bob, 0, 100)
		q.Wake(bob)
		time.Sleep(time.Second)
		for range 3 {
			b.back(bob, items[10:]...)
			e.Wake(bob)
			time.Sleep(time.Second)
		}
		if n := b.left(bob); n != 0 || e.Active() != 0 {
			t.Errorf("%d left, %d active", n, e.Active())
		}
		items[11].CallID = "another"
		b.back(bob, items[10:]...)
		e.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, append(want, "another")) || b.left(bob) != 0 {
			t.Errorf("got %q, %d left", got, b.left(bob))
		}
	})
}

// An item that was removed late, after its removal had failed, counts as well; one that was
// refused does not: an administrator has queued it again.
func TestLateRemovalsAreNotSentAgain(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		p.answer = func(a sip.AoR, m *im.Message) Outcome {
			if m.CallID == "1" {
				return Outcome{Verdict: Refused, Reason: "603 Decline"}
			}
			return Outcome{Verdict: Delivered}
		}
		s.put(bob, 0, 3)
		items, _ := s.box.Next(t.Context(), bob, 0, 100)
		q.Wake(bob)
		time.Sleep(time.Second / 2)
		s.change(nothing, 0)
		time.Sleep(time.Minute)
		s.back(bob, items...)
		p.answer = accept
		e.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"0", "2", "1"}) || s.left(bob) != 0 {
			t.Errorf("got %q, %d left", got, s.left(bob))
		}
	})
}

// A Source whose reads do not show its removals does not keep the engine busy.
func TestReadsThatShowNoRemovals(t *testing.T) {
	inStubborn(t, func(e *Engine, q *Queue, s *stubborn, p *phones) {
		s.put(bob, 0, 1)
		stale, _ := s.box.Next(t.Context(), bob, 0, 1)
		s.change(func(it *Item) bool { s.box.items[bob] = slices.Clone(stale); return false }, 0)
		for range 10 {
			e.Wake(bob)
			time.Sleep(time.Second)
			s.back(bob, stale...)
		}
		if got, n := p.received(), s.settle.Load(); len(got) != 1 || n > 40 || e.Active() != 0 {
			t.Errorf("got %q, %d calls of Settle", got, n)
		}
	})
}

// The set is bounded, and keeps at least the last maxRemoved items.
func TestRemovedItemsAreBounded(t *testing.T) {
	r := newRemovedItems()
	for i := range uint64(5 * maxRemoved) {
		r.add(i)
		if n := len(r.newer) + len(r.older); n > 2*maxRemoved {
			t.Fatalf("%d items", n)
		}
		if first := max(i, maxRemoved-1) - (maxRemoved - 1); !r.has(first) || !r.has(i) {
			t.Fatalf("%d forgets %d", i, first)
		}
	}
	if r.has(0) {
		t.Error("the first item is remembered for ever")
	}
}
