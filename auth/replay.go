package auth

import (
	"sync"

	"silod/limit"
)

// replayTable remembers which counts of which nonces were used. It has a fixed
// number of places, and what it forgets cannot be replayed either: when the nonce
// that is longest in the table makes room for another, every nonce that is no younger
// and not in the table is refused from then on. Its owner is told that it is stale
// and has a new one with the next request. Only answers with the right password take
// a place.
type replayTable struct {
	shards [replayShards]replayShard
}

const replayShards = 16

type replayShard struct {
	mu    sync.Mutex
	index map[nonceID]int
	uses  []use // a ring, once it is full
	next  int   // the place that is taken next then
	most  int   // places
	floor int64 // microseconds; what was issued by then and is not here may have been used
}

// use is what is known of one nonce.
type use struct {
	id     nonceID
	issued int64
	high   uint32 // the highest count used
	window uint64 // bit i: high-i was used
	// uncounted is set by answers without a count, of which there may be any number
	// from the network that sent the first.
	uncounted bool
	from      limit.Network
}

func newReplayTable(capacity int) *replayTable {
	t := &replayTable{}
	for i := range t.shards {
		t.shards[i].index = map[nonceID]int{}
		t.shards[i].most = max(1, capacity/replayShards)
	}
	return t
}

// windowSize is how far counts may be out of order, as datagrams can be.
const windowSize = 64

// take marks a count as used. It is false where the count was used before, or may
// have been.
func (t *replayTable) take(n nonce, count uint32) bool {
	s := t.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, fresh, ok := s.use(n)
	switch {
	case !ok || u.uncounted:
		return false
	case fresh || count > u.high:
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

// takeUncounted accepts an answer that has no count. It is false where the nonce was
// used with counts, or first used from another network.
func (t *replayTable) takeUncounted(n nonce, from limit.Network) bool {
	s := t.shard(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, fresh, ok := s.use(n)
	if fresh {
		u.uncounted, u.from = true, from
	}
	return ok && u.uncounted && u.from == from
}

func (t *replayTable) shard(n nonce) *replayShard {
	return &t.shards[n.id[idLen-1]%replayShards] // a random byte
}

// use finds a nonce's place, or gives it one. ok is false where it may have had one
// that it has lost.
func (s *replayShard) use(n nonce) (u *use, fresh, ok bool) {
	if i, known := s.index[n.id]; known {
		return &s.uses[i], false, true
	}
	issued := n.issued.UnixMicro()
	if issued <= s.floor {
		return nil, false, false
	}
	i := len(s.uses)
	if i < s.most {
		s.uses = append(s.uses, use{})
	} else {
		i = s.next
		s.next = (i + 1) % s.most
		s.floor = max(s.floor, s.uses[i].issued)
		delete(s.index, s.uses[i].id)
	}
	s.uses[i] = use{id: n.id, issued: issued}
	s.index[n.id] = i
	return &s.uses[i], true, true
}

// len is how many nonces are remembered.
func (t *replayTable) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].uses)
		t.shards[i].mu.Unlock()
	}
	return n
}
