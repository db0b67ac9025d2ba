package limit

import (
	"hash/maphash"
	"sync/atomic"
)

// A Crowd bounds how many goroutines may be busy with one key at the same time, so that those
// that wait for one key's lock, or for its rows, do not take all that serve others. Its memory
// is fixed, and it has no locks: keys whose hashes end alike share a bound, which others cannot
// bring about because they do not know the hash. NewCrowd makes one.
type Crowd[K comparable] struct {
	seed  maphash.Seed
	max   int32
	slots [crowdSlots]atomic.Int32
}

const crowdSlots = 1 << 12

// NewCrowd returns a Crowd that admits so many goroutines for a key.
func NewCrowd[K comparable](most int) *Crowd[K] {
	return &Crowd[K]{seed: maphash.MakeSeed(), max: int32(most)}
}

// Enter reports whether another goroutine may be busy with k. If so, the caller must call Leave.
func (c *Crowd[K]) Enter(k K) bool {
	n := c.slot(k)
	if n.Add(1) > c.max {
		n.Add(-1)
		return false
	}
	return true
}

// Leave ends what Enter has begun.
func (c *Crowd[K]) Leave(k K) { c.slot(k).Add(-1) }

func (c *Crowd[K]) slot(k K) *atomic.Int32 { return &c.slots[maphash.Comparable(c.seed, k)%crowdSlots] }
