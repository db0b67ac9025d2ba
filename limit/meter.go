package limit

import (
	"sync"
	"time"
)

// Full says what a full Meter does with an event of a new key.
type Full int

const (
	// EvictLeast removes a key with a bucket that is emptier than most. A key with a
	// full bucket is kept, and so does not get another burst, however many new keys
	// appear.
	EvictLeast Full = iota

	// Refuse refuses the event. It is for meters where even one event more than the rate
	// permits would do harm.
	Refuse
)

// A Meter counts events of one kind by key, in memory of fixed size. NewMeter makes one.
type Meter[K comparable] struct {
	full    Full
	buckets *Table[K, Bucket]

	mu    sync.Mutex
	swept time.Time // when a full Meter was last swept by Take
}

// sweepInterval is the shortest time between two sweeps of a full Meter.
const sweepInterval = 10 * time.Second

// NewMeter returns an empty Meter for about capacity keys, or exactly capacity where
// full is Refuse.
func NewMeter[K comparable](capacity int, full Full) *Meter[K] {
	shards := tableShards
	if full == Refuse {
		shards = 1
	}
	return &Meter[K]{full: full, buckets: newTable[K, Bucket](capacity, shards)}
}

// Take counts an event of k if the rate permits it now. If it does not, wait is the time
// until it will, and first reports whether this is the first refusal of k since an event
// of k was counted. A Meter that is full and cannot count the event at all refuses it
// with first false.
func (m *Meter[K]) Take(k K, r Rate, now time.Time) (wait time.Duration, ok, first bool) {
	if r.Unlimited() {
		return 0, true, false
	}
	take := func(b *Bucket) { wait, ok, first = b.Take(r, now) }
	if m.full == EvictLeast {
		m.buckets.update(k, now, func(b *Bucket, now time.Time) float64 { return b.Fill(r, now) }, take)
		return wait, ok, first
	}
	known := m.buckets.update(k, now, nil, take)
	if !known && m.sweepDue(now) {
		m.Sweep(r, now)
		known = m.buckets.update(k, now, nil, take)
	}
	if !known {
		return r.Per / time.Duration(r.N), false, false
	}
	return wait, ok, first
}

// Sweep removes the keys with an empty bucket. It makes no difference to later events.
func (m *Meter[K]) Sweep(r Rate, now time.Time) {
	m.buckets.DeleteFunc(func(_ K, b *Bucket) bool { return b.Fill(r, now) == 0 })
}

// Forget forgets the events of a key.
func (m *Meter[K]) Forget(k K) { m.buckets.Delete(k) }

// sweepDue reports whether the last sweep by Take was long enough ago. The next call
// then returns false.
func (m *Meter[K]) sweepDue(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.swept).Abs() < sweepInterval {
		return false
	}
	m.swept = now
	return true
}

// Len returns the number of keys.
func (m *Meter[K]) Len() int { return m.buckets.Len() }
