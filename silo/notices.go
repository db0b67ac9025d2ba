package silo

import (
	"context"
	"slices"
	"sync"
	"time"

	"silod/delivery"
	"silod/sip"
)

// limiter remembers who has been told of whom. Whom it has no room for is not told.
type limiter struct {
	mu      sync.Mutex
	last    map[pair]time.Time
	cleared time.Time
}

type pair struct{ sender, recipient sip.AoR }

const (
	mostTold   = 50_000
	mostWaits  = 10_000
	clearEvery = 10 * time.Second // at most so often, where there is no room
)

// allow tells whether somebody may be told now, and remembers it.
func (l *limiter) allow(p pair, now time.Time, every time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.last[p]; ok && now.Sub(t) < every {
		return false
	}
	if len(l.last) >= mostTold && now.Sub(l.cleared) >= clearEvery {
		l.clear(now, every)
	}
	if len(l.last) >= mostTold {
		return false
	}
	if l.last == nil {
		l.last = make(map[pair]time.Time)
	}
	l.last[p] = now
	return true
}

// forget drops what no longer matters.
func (l *limiter) forget(now time.Time, every time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear(now, every)
}

func (l *limiter) clear(now time.Time, every time.Duration) {
	l.cleared = now
	for p, t := range l.last {
		if now.Sub(t) >= max(every, time.Minute) {
			delete(l.last, p)
		}
	}
}

// noticeBox holds notices on their way, in memory: one that is lost with the
// process is no loss. It is a delivery.Source.
type noticeBox struct {
	now func() time.Time

	mu      sync.Mutex
	boxes   map[sip.AoR][]delivery.Item
	waiting int // items in all boxes
	key     int64
	cleared time.Time
}

// Notices is the Source of the queue of notices.
func (s *Service) Notices() delivery.Source { return &s.notices }

// add takes a notice in, and tells whether there was room.
func (b *noticeBox) add(to sip.AoR, it delivery.Item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); b.waiting >= mostWaits && now.Sub(b.cleared) >= clearEvery {
		b.clear(now)
	}
	if b.waiting >= mostWaits {
		return false
	}
	if b.boxes == nil {
		b.boxes = make(map[sip.AoR][]delivery.Item)
	}
	b.key++
	it.Key = b.key
	b.boxes[to] = append(b.boxes[to], it)
	b.waiting++
	return true
}

// forget drops what has expired.
func (b *noticeBox) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear(b.now())
}

func (b *noticeBox) clear(now time.Time) {
	b.cleared = now
	for a := range b.boxes {
		b.drop(a, func(it delivery.Item) bool { return !now.Before(it.Expires) })
	}
}

// drop takes items out of a box.
func (b *noticeBox) drop(a sip.AoR, gone func(delivery.Item) bool) {
	box := b.boxes[a]
	kept := slices.DeleteFunc(slices.Clone(box), gone)
	b.waiting -= len(box) - len(kept)
	if b.boxes[a] = kept; len(kept) == 0 {
		delete(b.boxes, a)
	}
}

// Next gives the notices for somebody.
func (b *noticeBox) Next(_ context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	box := b.boxes[owner]
	if i := slices.IndexFunc(box, func(it delivery.Item) bool { return it.Key > after }); i >= 0 {
		return slices.Clone(box[i:min(i+limit, len(box))]), nil
	}
	return nil, nil
}

// Settle forgets a notice, whatever became of it.
func (b *noticeBox) Settle(owner sip.AoR, it *delivery.Item, _ delivery.Outcome, done func(error)) {
	b.mu.Lock()
	b.drop(owner, func(x delivery.Item) bool { return x.Key == it.Key })
	b.mu.Unlock()
	done(nil)
}

// Waiting calls f for everybody who has a notice to get.
func (b *noticeBox) Waiting(_ context.Context, f func(sip.AoR)) error {
	b.mu.Lock()
	var all []sip.AoR
	for a := range b.boxes {
		all = append(all, a)
	}
	b.mu.Unlock()
	for _, a := range all {
		f(a)
	}
	return nil
}
