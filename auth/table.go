package auth

import (
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"time"
)

// table is a map of a fixed capacity. When it is full, the entry that is worth least
// of a few picked at random makes room: so a flood of newcomers replaces newcomers,
// and who has something to gain from being forgotten would have to bring as many
// others to the same worth.
//
// It is divided into shards by a hash that nobody outside can compute.
type table[K comparable, V any] struct {
	worth  func(v *V, now time.Time) float64 // must not call the table
	seed   maphash.Seed
	most   int // entries a shard
	shards [tableShards]tableShard[K, V]
}

const (
	tableShards = 16
	sampled     = 8 // entries looked at for the least worth
)

type tableShard[K comparable, V any] struct {
	mu      sync.Mutex
	index   map[K]int
	entries []entry[K, V] // in no order
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newTable[K comparable, V any](capacity int, worth func(*V, time.Time) float64) *table[K, V] {
	t := &table[K, V]{worth: worth, seed: maphash.MakeSeed(), most: max(1, capacity/tableShards)}
	for i := range t.shards {
		t.shards[i].index = map[K]int{}
	}
	return t
}

func (t *table[K, V]) shard(k K) *tableShard[K, V] {
	return &t.shards[maphash.Comparable(t.seed, k)%tableShards]
}

// update calls f with the value of k, a zero one where there was none. f runs under
// the shard's lock.
func (t *table[K, V]) update(k K, now time.Time, f func(v *V)) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[k]
	if !known {
		if len(s.entries) >= t.most {
			s.remove(t.least(s, now))
		}
		i = len(s.entries)
		s.entries = append(s.entries, entry[K, V]{key: k})
		s.index[k] = i
	}
	f(&s.entries[i].value)
}

// find calls f with the value of k and tells whether there is one.
func (t *table[K, V]) find(k K, f func(v *V)) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, known := s.index[k]
	if known {
		f(&s.entries[i].value)
	}
	return known
}

// forget removes k.
func (t *table[K, V]) forget(k K) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, known := s.index[k]; known {
		s.remove(i)
	}
}

// all gives copies of the entries that f selects. f runs under a shard's lock.
func (t *table[K, V]) all(f func(k K, v *V) bool) []entry[K, V] {
	var found []entry[K, V]
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for j := range s.entries {
			if e := &s.entries[j]; f(e.key, &e.value) {
				found = append(found, *e)
			}
		}
		s.mu.Unlock()
	}
	return found
}

// len counts the entries.
func (t *table[K, V]) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].entries)
		t.shards[i].mu.Unlock()
	}
	return n
}

// least picks the entry that makes room.
func (t *table[K, V]) least(s *tableShard[K, V], now time.Time) int {
	at := rand.IntN(len(s.entries))
	worth := t.worth(&s.entries[at].value, now)
	for range sampled - 1 {
		i := rand.IntN(len(s.entries))
		if w := t.worth(&s.entries[i].value, now); w < worth {
			at, worth = i, w
		}
	}
	return at
}

// remove fills the hole with the last entry.
func (s *tableShard[K, V]) remove(i int) {
	last := len(s.entries) - 1
	delete(s.index, s.entries[i].key)
	if i != last {
		s.entries[i] = s.entries[last]
		s.index[s.entries[i].key] = i
	}
	s.entries[last] = entry[K, V]{}
	s.entries = s.entries[:last]
}
