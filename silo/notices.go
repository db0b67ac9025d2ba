package silo

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"silod/delivery"
	"silod/sip"
)

const (
	maxLimited       = 50_000           // pairs in a noticeLimiter
	maxNotices       = 10_000           // notices in a noticeQueue
	minClearInterval = 10 * time.Second // between two searches of a full table for old entries
)

// A noticeLimiter limits how often a sender is notified about a recipient. While its
// table is full, senders that are not in it are not notified.
type noticeLimiter struct {
	mu      sync.Mutex
	last    map[pair]time.Time // when a notice was last sent
	cleared time.Time
}

type pair struct{ sender, recipient sip.AoR }

// allow reports whether a notice may be sent now, and if so records that it was.
func (l *noticeLimiter) allow(p pair, now time.Time, interval time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := l.last[p]; ok && now.Sub(t) < interval {
		return false
	}
	if len(l.last) >= maxLimited && now.Sub(l.cleared) >= minClearInterval {
		l.clear(now, interval)
	}
	if len(l.last) >= maxLimited {
		return false
	}
	if l.last == nil {
		l.last = make(map[pair]time.Time)
	}
	l.last[p] = now
	return true
}

// forget removes the entries that are older than interval.
func (l *noticeLimiter) forget(now time.Time, interval time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear(now, interval)
}

func (l *noticeLimiter) clear(now time.Time, interval time.Duration) {
	l.cleared = now
	for p, t := range l.last {
		if now.Sub(t) >= max(interval, time.Minute) {
			delete(l.last, p)
		}
	}
}

// A noticeQueue is a delivery.Source of notices. It is in memory: notices need not
// survive the process.
type noticeQueue struct {
	now func() time.Time

	mu      sync.Mutex
	items   map[sip.AoR][]delivery.Item // by owner
	size    int                         // items of all owners
	key     int64                       // of the last item
	cleared time.Time
}

// Notices returns the Source for the queue of notices.
func (s *Service) Notices() delivery.Source { return &s.notices }

// add reports whether it has added a notice: a full queue takes none.
func (q *noticeQueue) add(to sip.AoR, it delivery.Item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := q.now(); q.size >= maxNotices && now.Sub(q.cleared) >= minClearInterval {
		q.clear(now)
	}
	if q.size >= maxNotices {
		return false
	}
	if q.items == nil {
		q.items = make(map[sip.AoR][]delivery.Item)
	}
	q.key++
	it.Key = q.key
	q.items[to] = append(q.items[to], it)
	q.size++
	return true
}

// forget removes the notices that have expired.
func (q *noticeQueue) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.clear(q.now())
}

func (q *noticeQueue) clear(now time.Time) {
	q.cleared = now
	for owner := range q.items {
		q.remove(owner, func(it delivery.Item) bool { return !now.Before(it.Expires) })
	}
}

// remove removes the items of an owner for which match is true.
func (q *noticeQueue) remove(owner sip.AoR, match func(delivery.Item) bool) {
	items := q.items[owner]
	kept := slices.DeleteFunc(slices.Clone(items), match)
	q.size -= len(items) - len(kept)
	if q.items[owner] = kept; len(kept) == 0 {
		delete(q.items, owner)
	}
}

// Next returns the oldest notices for an owner.
func (q *noticeQueue) Next(_ context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items[owner]
	if i := slices.IndexFunc(items, func(it delivery.Item) bool { return it.Key > after }); i >= 0 {
		return slices.Clone(items[i:min(i+limit, len(items))]), nil
	}
	return nil, nil
}

// Settle removes a notice whatever the outcome.
func (q *noticeQueue) Settle(owner sip.AoR, it *delivery.Item, _ delivery.Outcome, done func(error)) {
	q.mu.Lock()
	q.remove(owner, func(x delivery.Item) bool { return x.Key == it.Key })
	q.mu.Unlock()
	done(nil)
}

// Waiting calls f for every owner that has a notice.
func (q *noticeQueue) Waiting(_ context.Context, f func(sip.AoR)) error {
	q.mu.Lock()
	owners := slices.Collect(maps.Keys(q.items))
	q.mu.Unlock()
	for _, a := range owners {
		f(a)
	}
	return nil
}
