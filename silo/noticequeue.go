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
	maxNotices       = 10_000           // notices in a noticeQueue
	minSweepInterval = 10 * time.Second // between two searches of a full queue for expired notices
)

// A noticeQueue is a delivery.Source of notices. It is in memory: notices need not
// survive the process.
type noticeQueue struct {
	now func() time.Time

	mu    sync.Mutex
	items map[sip.AoR][]delivery.Item // by owner
	size  int                         // items of all owners
	key   int64                       // of the last item
	swept time.Time                   // when expired notices were last removed
}

// Notices returns the Source for the queue of notices.
func (s *Service) Notices() delivery.Source { return &s.notices }

// add adds a notice, and reports false if the queue is full.
func (q *noticeQueue) add(to sip.AoR, it delivery.Item) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := q.now(); q.size >= maxNotices && now.Sub(q.swept) >= minSweepInterval {
		q.removeExpired(now)
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

// sweep removes the notices that have expired.
func (q *noticeQueue) sweep() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.removeExpired(q.now())
}

// removeExpired removes the notices that have expired at now. The caller holds q.mu.
func (q *noticeQueue) removeExpired(now time.Time) {
	q.swept = now
	for owner := range q.items {
		q.remove(owner, func(it delivery.Item) bool { return !now.Before(it.Expires) })
	}
}

// remove removes the items of an owner for which match is true. The caller holds q.mu.
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
