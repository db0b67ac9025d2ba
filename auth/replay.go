package auth

import (
	"sync"

	"silod/limit"
)

// A replayTable remembers which counts of which nonces were used. It has a fixed
// capacity: a new nonce takes the place of the one that was added first. From then on
// every nonce that is not newer than that one and not in the table is refused as used, so
// that forgotten counts cannot be replayed either. Their clients get a new nonce with the
// next challenge, which is newer in any case, because the serial numbers of this process do not
// depend on the clock of the system. Only answers with the right password add a nonce.
type replayTable struct {
	shards [replayShards]replayShard
}

const (
	replayShards = 1 << 4
	fibonacci    = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio: hashes multiply by it
)

type replayShard struct {
	mu       sync.Mutex
	index    map[nonceID]int // into uses
	uses     []nonceUse      // a ring when it is full
	next     int             // index that is replaced next
	capacity int

	// A nonce with a serial number that is not larger and not in index may have been used: one
	// of this process, and one of others.
	ownFloor, otherFloor uint64
}

// A nonceUse records the uses of one nonce.
type nonceUse struct {
	id     nonceID
	own    bool
	serial uint64
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
	return &t.shards[n.serial()*fibonacci>>60] // serial numbers may have a regular distance
}

// use returns the record of a nonce, and whether it was added now. If ok is false, the
// nonce may have had a record that was replaced.
func (s *replayShard) use(n nonce) (u *nonceUse, added, ok bool) {
	if i, known := s.index[n.id]; known {
		return &s.uses[i], false, true
	}
	if n.serial() <= *s.floor(n.own) {
		return nil, false, false
	}
	i := len(s.uses)
	if i < s.capacity {
		s.uses = append(s.uses, nonceUse{})
	} else {
		i = s.next
		s.next = (i + 1) % s.capacity
		floor := s.floor(s.uses[i].own)
		*floor = max(*floor, s.uses[i].serial)
		delete(s.index, s.uses[i].id)
	}
	s.uses[i] = nonceUse{id: n.id, own: n.own, serial: n.serial()}
	s.index[n.id] = i
	return &s.uses[i], true, true
}

func (s *replayShard) floor(own bool) *uint64 {
	if own {
		return &s.ownFloor
	}
	return &s.otherFloor
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
