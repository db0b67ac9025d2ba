package transaction

import (
	"maps"
	"sync"
	"time"
)

// timerJ is the time for which the answer to a request over UDP is kept: 64*T1 (RFC 3261
// section 17.2.2).
const timerJ = 64 * timerT1

// A serverTable holds the server transactions of unreliable transports: those in progress
// and the answers of the others. For all transports it holds the merge keys of the requests
// in progress. Its size is limited: a request above the limit is rejected before it is
// served.
type serverTable struct {
	shards [serverShards]serverShard
	limit  int // transactions in a shard
}

const serverShards = 64

type serverShard struct {
	mu        sync.Mutex
	outcomes  map[txKey]outcome // without pointers, so that the garbage collector does not scan it
	maxLen    int               // of outcomes since the map was made
	ring      [ringSize]ringSlot
	current   int                 // index of the ring slot to which answers are added
	mergeKeys map[uint64]struct{} // of requests in progress

	unanswered []unansweredTx // of requests in progress, see trying.go
}

// A ringSlot holds the transactions that were answered within one second.
type ringSlot struct {
	keys    []txKey
	answers []byte // packed, see answer.pack
}

// ringSize is one slot for each second of Timer J, one for the current second, and one
// more because an answer may come at the end of its second.
const ringSize = int(timerJ/time.Second) + 2

// An outcome is the state of a server transaction: in progress, or the status of a plain
// answer, which is 100 while the request is still in progress, or the bit packed with the ring
// slot and offset of any other answer.
type outcome uint64

const (
	inProgress outcome = 0
	packed     outcome = 1 << 63

	slotShift  = 48
	offsetMask = 1<<slotShift - 1
)

// store stores an answer in the current ring slot.
func (s *serverShard) store(k txKey, a *answer) {
	slot := &s.ring[s.current]
	o := outcome(a.status)
	if !a.plain() {
		o = packed | outcome(s.current)<<slotShift | outcome(len(slot.answers))
		slot.answers = a.pack(slot.answers)
	}
	slot.keys = append(slot.keys, k)
	s.outcomes[k] = o
}

// load returns the answer of an outcome that is not inProgress.
func (s *serverShard) load(o outcome) *answer {
	if o&packed == 0 {
		return plainAnswer(int(o))
	}
	return unpack(s.ring[o&^packed>>slotShift].answers[o&offsetMask:])
}

// A txState is the state of the transaction of a received request.
type txState int

const (
	txNew        txState = iota // to be served
	txInProgress                // a retransmission before an answer
	txMerged                    // a copy of a request in progress
	txAnswered                  // a retransmission after an answer, which may be the 100
	txTableFull
)

func newServerTable(limit int) *serverTable {
	t := &serverTable{limit: max(1, limit/serverShards)}
	for i := range t.shards {
		t.shards[i].outcomes = make(map[txKey]outcome)
		t.shards[i].mergeKeys = make(map[uint64]struct{})
	}
	return t
}

// shard returns the shard of a transaction. It is the same one for copies of one request.
func (t *serverTable) shard(id *txID) *serverShard { return &t.shards[id.merge%serverShards] }

// begin returns the state of a request's transaction, and its answer if that is txAnswered.
// It adds a new transaction to the table. The merge key of a request without a To tag is
// added until the request is answered. It is not kept longer, because clients reuse all
// identifiers when they respond to a challenge.
func (t *serverTable) begin(tx *ServerTx) (txState, *answer) {
	s := t.shard(&tx.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !tx.Flow.Transport.Reliable() {
		o, known := s.outcomes[tx.id.key]
		switch {
		case known && o == inProgress:
			return txInProgress, nil
		case known:
			return txAnswered, s.load(o)
		case len(s.outcomes) >= t.limit:
			return txTableFull, nil
		}
		s.outcomes[tx.id.key] = inProgress
		s.maxLen = max(s.maxLen, len(s.outcomes))
		tx.hasKey = true
	}
	if tx.Request.To.Tag() == "" {
		if _, dup := s.mergeKeys[tx.id.merge]; dup {
			return txMerged, nil
		}
		s.mergeKeys[tx.id.merge] = struct{}{}
		tx.hasMerge = true
	}
	if tx.hasKey {
		s.await(tx)
	}
	return txNew, nil
}

// finish removes the merge key of an answered request. It keeps the answer for Timer J, or
// removes the transaction if tx.forget is set: both under one lock, so that a retransmission
// is never taken for a copy of its own request.
func (t *serverTable) finish(tx *ServerTx, a *answer) {
	s := t.shard(&tx.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if tx.hasMerge {
		delete(s.mergeKeys, tx.id.merge)
	}
	s.answered(tx)
	switch {
	case !tx.hasKey:
	case tx.forget:
		delete(s.outcomes, tx.id.key)
	default:
		s.store(tx.id.key, a)
	}
}

// tick removes the transactions of the oldest ring slot and makes that the current one. It
// must be called every second.
func (t *serverTable) tick() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.current = (s.current + 1) % ringSize
		slot := &s.ring[s.current]
		for _, k := range slot.keys {
			delete(s.outcomes, k)
		}
		slot.keys, slot.answers = truncate(slot.keys, 1024), truncate(slot.answers, 4096)
		if len(s.unanswered) == 0 {
			s.unanswered = truncate(s.unanswered, 1024)
		}
		s.shrinkMap()
		s.mu.Unlock()
	}
}

// truncate returns s with length 0, or nil if its capacity is above maxCap, so that the
// memory of a burst is freed.
func truncate[T any](s []T, maxCap int) []T {
	if cap(s) > maxCap {
		return nil
	}
	return s[:0]
}

// shrinkMap replaces the map after a burst: a Go map does not shrink.
func (s *serverShard) shrinkMap() {
	if s.maxLen < 4096 || len(s.outcomes) > s.maxLen/4 {
		return
	}
	small := make(map[txKey]outcome, len(s.outcomes))
	maps.Copy(small, s.outcomes)
	s.outcomes, s.maxLen = small, len(small)
}

// len returns the number of transactions.
func (t *serverTable) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].outcomes)
		t.shards[i].mu.Unlock()
	}
	return n
}
