package limit

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

// A Table is a map of fixed capacity. To add a key to a full one it removes the entry
// that is worth least of a few that are picked at random: a flood of new keys replaces
// new keys. To have an entry removed, an attacker has to bring about as many others
// that are worth as much.
//
// Entries are divided into shards by a hash that others cannot compute. NewTable makes
// a Table.
type Table[K comparable, V any] struct {
	worth  func(v *V, now time.Time) float64
	seed   maphash.Seed
	max    int // entries per shard
	shards []tableShard[K, V]
}

// An Entry is a key of a Table and a copy of its value.
type Entry[K comparable, V any] struct {
	Key   K
	Value V
}

const (
	tableShards = 16
	sampleSize  = 8 // entries compared to find the one to remove
)

type tableShard[K comparable, V any] struct {
	mu      sync.Mutex
	index   map[K]int
	entries []Entry[K, V] // unordered
}

// NewTable returns an empty Table for about capacity entries. The function worth returns
// how much an entry is worth at a time; like all functions that a Table calls, it must
// not call the Table.
func NewTable[K comparable, V any](capacity int, worth func(v *V, now time.Time) float64) *Table[K, V] {
	t := newTable[K, V](capacity, tableShards)
	t.worth = worth
	return t
}

func newTable[K comparable, V any](capacity, shards int) *Table[K, V] {
	t := &Table[K, V]{seed: maphash.MakeSeed(), max: max(1, capacity/shards), shards: make([]tableShard[K, V], shards)}
	for i := range t.shards {
		t.shards[i].index = map[K]int{}
	}
	return t
}

func (t *Table[K, V]) shard(k K) *tableShard[K, V] {
	return &t.shards[maphash.Comparable(t.seed, k)%uint64(len(t.shards))]
}

// Update calls f with the value of k, which is the zero value if k is new.
func (t *Table[K, V]) Update(k K, now time.Time, f func(v *V)) { t.update(k, now, t.worth, f) }

// update is Update with another worth. If worth is nil, update does not add a key to a
// full shard and returns false.
func (t *Table[K, V]) update(k K, now time.Time, worth func(*V, time.Time) float64, f func(v *V)) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[k]
	if !known {
		if len(s.entries) >= t.max {
			if worth == nil {
				return false
			}
			s.remove(s.least(worth, now))
		}
		i = len(s.entries)
		s.entries = append(s.entries, Entry[K, V]{Key: k})
		s.index[k] = i
	}
	f(&s.entries[i].Value)
	return true
}

// Find calls f with the value of k and reports whether there is one.
func (t *Table[K, V]) Find(k K, f func(v *V)) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[k]
	if known {
		f(&s.entries[i].Value)
	}
	return known
}

// Delete removes k.
func (t *Table[K, V]) Delete(k K) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, known := s.index[k]; known {
		s.remove(i)
	}
}

// DeleteFunc removes the entries for which del returns true.
func (t *Table[K, V]) DeleteFunc(del func(k K, v *V) bool) {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := 0; j < len(s.entries); {
			if e := &s.entries[j]; del(e.Key, &e.Value) {
				s.remove(j)
			} else {
				j++
			}
		}
		s.mu.Unlock()
	}
}

// Select returns copies of the entries for which f returns true, in no order.
func (t *Table[K, V]) Select(f func(k K, v *V) bool) []Entry[K, V] {
	var found []Entry[K, V]
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			if e := &s.entries[j]; f(e.Key, &e.Value) {
				found = append(found, *e)
			}
		}
		s.mu.Unlock()
	}
	return found
}

// Len returns the number of entries.
func (t *Table[K, V]) Len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].entries)
		t.shards[i].mu.Unlock()
	}
	return n
}

// least returns the index of the entry that is worth least of a random sample.
func (s *tableShard[K, V]) least(worth func(*V, time.Time) float64, now time.Time) int {
	at := rand.IntN(len(s.entries))
	lowest := worth(&s.entries[at].Value, now)
	for range sampleSize - 1 {
		i := rand.IntN(len(s.entries))
		if w := worth(&s.entries[i].Value, now); w < lowest {
			at, lowest = i, w
		}
	}
	return at
}

// remove moves the last entry to index i.
func (s *tableShard[K, V]) remove(i int) {
	last := len(s.entries) - 1
	delete(s.index, s.entries[i].Key)
	if i != last {
		s.entries[i] = s.entries[last]
		s.index[s.entries[i].Key] = i
	}
	s.entries[last] = Entry[K, V]{}
	s.entries = s.entries[:last]
}
