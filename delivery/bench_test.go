package delivery

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"silod/im"
	"silod/sip"
)

// backlog is a Source in which the same number of items waits for every owner at
// every wake-up.
type backlog struct {
	items   []Item
	mu      sync.Mutex
	settled map[sip.AoR]int64 // highest key
	done    sync.WaitGroup
}

func newBacklog(items int) *backlog {
	b := &backlog{settled: make(map[sip.AoR]int64)}
	for i := range items {
		b.items = append(b.items, Item{Key: int64(i + 1), Message: im.Message{CallID: fmt.Sprint(i)}})
	}
	return b
}

func (b *backlog) Next(_ context.Context, a sip.AoR, after int64, limit int) ([]Item, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	after = max(after, b.settled[a])
	first := max(after+1-b.items[0].Key, 0)
	return b.items[first:min(int(first)+limit, len(b.items))], nil
}

func (b *backlog) Settle(a sip.AoR, it *Item, _ Outcome, done func(error)) {
	b.mu.Lock()
	b.settled[a] = it.Key
	b.mu.Unlock()
	done(nil)
	b.done.Done()
}

func (b *backlog) Waiting(context.Context, func(sip.AoR)) error { return nil }

// again makes as many new items wait.
func (b *backlog) again(owners int) {
	b.mu.Lock()
	items := slices.Clone(b.items)
	for i := range items {
		items[i].Key += int64(len(items))
	}
	b.items = items
	b.mu.Unlock()
	b.done.Add(owners * len(b.items))
}

// taker is a Sender to devices that accept everything.
type taker struct{}

func (taker) Send(context.Context, sip.AoR, *Item) Attempt  { return Outcome{Verdict: Delivered} }
func (taker) Alive(context.Context, sip.AoR, []string) bool { return true }

func benchmarkDelivery(b *testing.B, recipients, items int, wake func(q *Queue, all []sip.AoR)) {
	e := New(Options{})
	source, q := newBacklog(items), e.Queue()
	q.Serve(source, taker{})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = e.Run(ctx) })
	all := people(recipients)
	b.ReportAllocs()
	for b.Loop() {
		source.again(len(all))
		wake(q, all)
		source.done.Wait()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*recipients*items), "ns/item")
	cancel()
	running.Wait()
}

// BenchmarkRoom delivers one item to each of 1,000 recipients.
func BenchmarkRoom(b *testing.B) {
	benchmarkDelivery(b, 1000, 1, func(q *Queue, all []sip.AoR) { q.WakeAll(chat, all, sip.AoR{}) })
}

// BenchmarkMailbox delivers 1,000 items to one recipient.
func BenchmarkMailbox(b *testing.B) {
	benchmarkDelivery(b, 1, 1000, func(q *Queue, all []sip.AoR) { q.Wake(all[0]) })
}
