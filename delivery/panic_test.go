package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"silod/sip"
)

// fuse is a Sender that panics at the message "2".
type fuse struct{ *phones }

func (f fuse) Send(ctx context.Context, a sip.AoR, it *Item) Attempt {
	if it.CallID == "2" {
		panic("two")
	}
	return f.phones.Send(ctx, a, it)
}

// A message at which the Sender panics is set aside, and the ones behind it arrive.
func TestPanicSetsAside(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		q.Serve(b, fuse{p})
		for _, s := range []string{"1", "2", "3"} {
			b.put(bob, s)
		}
		q.Wake(bob)
		time.Sleep(time.Second)
		if got := p.received(); !slices.Equal(got, []string{"1", "3"}) || b.aside[2] == "" || e.Active() != 0 {
			t.Errorf("got %q, set aside %v, %d active", got, b.aside, e.Active())
		}
	})
}

// fragile is a Source that panics at first.
type fragile struct {
	*box
	reads atomic.Int32
}

func (f *fragile) Next(ctx context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	if f.reads.Add(1) == 1 {
		panic("the first")
	}
	return f.box.Next(ctx, a, after, limit)
}

// A Source that panics is tried again, as one that returns an error is.
func TestPanicOfASourceIsRetried(t *testing.T) {
	inEngine(t, accept, func(_ *Engine, q *Queue, b *box, p *phones) {
		q.Serve(&fragile{box: b}, p)
		b.put(bob, "1")
		q.Wake(bob)
		time.Sleep(time.Second)
		if !q.Busy(bob) {
			t.Error("bob is forgotten")
		}
		time.Sleep(10 * time.Second)
		if got := p.received(); len(got) != 1 || q.Busy(bob) {
			t.Errorf("got %q, busy %v", got, q.Busy(bob))
		}
	})
}

// hasty is a Source that panics although the removal of the item has begun.
type hasty struct {
	*box
	settled atomic.Int32
}

func (h *hasty) Settle(a sip.AoR, it *Item, out Outcome, done func(error)) {
	time.AfterFunc(time.Millisecond/2, func() { h.box.Settle(a, it, out, done) })
	if h.settled.Add(1) == 1 {
		panic("the first")
	}
}

// A Source that panics in Settle, and calls done nevertheless, has settled one item, not
// two.
func TestPanicOfASourceThatSettles(t *testing.T) {
	inEngine(t, accept, func(e *Engine, q *Queue, b *box, p *phones) {
		q.Serve(&hasty{box: b}, p)
		for _, s := range []string{"1", "2", "3"} {
			b.put(bob, s)
		}
		q.Wake(bob)
		time.Sleep(time.Minute)
		if got := p.received(); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("got %q", got)
		}
		if b.left(bob) != 0 || q.settler.unsettled != 0 || e.Active() != 0 {
			t.Errorf("%d left, settler %+v, %d active", b.left(bob), &q.settler, e.Active())
		}
	})
}
