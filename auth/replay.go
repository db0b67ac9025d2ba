package auth

import (
	"sync"

	"silod/limit"
)

// A replayTable remembers which counts of which nonces were used. It has a fixed
// capacity: a new nonce takes the place of the one that was added first. From then on
// every nonce that is not newer than that one and not in the table is refused as used, so
// that forgotten counts cannot be replayed either. Their clients get a new nonce with the
// next challenge. Only answers with the right password add a nonce.
type replayTable struct {
	shards [replayShards]replayShard
}

const replayShards = 16

type replayShard struct {
	mu       sync.Mutex
	index    map[nonceID]int // into uses
	uses     []nonceUse      // a ring when it is full
	next     int             // index that is replaced next
	capacity int
	floor    int64 // microseconds: a nonce that is not newer and not in index may have been used
}

// A nonceUse records the uses of one nonce.
type nonceUse struct {
	id     nonceID
	issued int64  // microseconds
	high   uint32 // highest count used
	window uint64 // bit i: high-i was used

	// uncounted is set by answers without a count. Any number of them is accepted from
	// the network that sent the first.
	uncounted bool
	from      limit.Network
}

func newReplayTable(capacity int) *replayTable {
	t := &replayTable{}
	for i := range t.shards {
		t.shards[i].index = map[nonceID]int{}
		t.shards[i].capacity = max(1, capacity/replayShards)
	}
	return t
}

// windowSize is how far counts may be out of order: datagrams overtake each other.
const windowSize = 64

// take marks a count as used. It returns false if the count was used before, or may have
// been.
func (t *replayTable) take(n nonce, count uint32) bool {
	s := t.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, added, ok := s.use(n)
	switch {
	case !ok || u.uncounted:
		return false
	case added || count > u.high:
		u.window = u.window<<min(count-u.high, windowSize) | 1
		u.high = count
		return true
	case u.high-count >= windowSize:
		return false
	}
	bit := uint64(1) << (u.high - count)
	if u.window&bit != 0 {
		return false
	}
	u.window |= bit
	return true
}

// takeUncounted accepts an answer without a count. It returns false if the nonce was used
// with counts, or first used from another network.
func (t *replayTable) takeUncounted(n nonce, from limit.Network) bool {
	s := t.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, added, ok := s.use(n)
	if added {
		u.uncounted, u.from = true, from
	}
	return ok && u.uncounted && u.from == from
}

func (t *replayTable) shard(n nonce) *replayShard {
	return &t.shards[n.id[idLen-1]%replayShards] // a random byte
}

// use returns the record of a nonce, and whether it was added now. If ok is false, the
// nonce may have had a record that was replaced.
func (s *replayShard) use(n nonce) (u *nonceUse, added, ok bool) {
	if i, known := s.index[n.id]; known {
		return &s.uses[i], false, true
	}
	issued := n.issued.UnixMicro()
	if issued <= s.floor {
		return nil, false, false
	}
	i := len(s.uses)
	if i < s.capacity {
		s.uses = append(s.uses, nonceUse{})
	} else {
		i = s.next
		s.next = (i + 1) % s.capacity
		s.floor = max(s.floor, s.uses[i].issued)
		delete(s.index, s.uses[i].id)
	}
	s.uses[i] = nonceUse{id: n.id, issued: issued}
	s.index[n.id] = i
	return &s.uses[i], true, true
}

// len returns the number of nonces in the table.
func (t *replayTable) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].uses)
		t.shards[i].mu.Unlock()
	}
	return n
}
