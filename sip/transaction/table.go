package transaction

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"silod/sip"
)

// timerJ is how long a UDP request's answer is kept for retransmissions (RFC 3261
// section 17.2.2): 64*T1.
const timerJ = 32 * time.Second

// txID says which request this is, twice.
type txID struct {
	key   txKey
	merge uint64
}

// txKey names a server transaction (RFC 3261 section 17.2.3): a hash of branch,
// sent-by, method and, because real clients reuse branches, of source, Call-ID,
// From, CSeq, Request-URI, credentials and body: BitlBee uses all other names again
// when it is started again.
type txKey [16]byte

// txSeeds are secret and new in every process, so nobody can aim at another's
// transaction. The last one is that of merge keys.
var txSeeds = [3]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed(), maphash.MakeSeed()}

// identify makes the request's ID. Its merge key is the same for requests that are one
// request which came by different ways: From with its tag, Call-ID, CSeq and
// Request-URI (RFC 3261 section 8.2.2.2). The source and the body are part of it: two
// clients that make the same identifiers, because neither seeds its random numbers,
// are told apart, and a fork's branches come to us from the same proxy. All of that is
// part of the transaction's key as well.
func (tx *ServerTx) identify(f *sip.Fields) {
	b := make([]byte, 0, 512)
	add := func(s string) { b = append(append(b, s...), 0) }
	for _, s := range [...]string{tx.Request.Method, tx.Request.URI, f.From, f.CallID, f.CSeq, tx.Request.Via.Host} {
		add(s)
	}
	addr := tx.Flow.Remote.Addr().As16()
	b = append(b, addr[:]...)
	b = binary.BigEndian.AppendUint64(b, maphash.Bytes(txSeeds[2], tx.Request.Body))
	tx.id.merge = maphash.Bytes(txSeeds[2], b)
	for _, s := range [...]string{tx.Request.Via.Branch(), f.Authorization, f.ProxyAuthorization, tx.Flow.Transport.String()} {
		add(s)
	}
	b = binary.BigEndian.AppendUint16(b, tx.Flow.Remote.Port())
	b = binary.BigEndian.AppendUint16(b, tx.Request.Via.Port)
	b = binary.BigEndian.AppendUint64(b, tx.Flow.Conn)
	for i, seed := range txSeeds[:2] {
		binary.BigEndian.PutUint64(tx.id.key[8*i:], maphash.Bytes(seed, b))
	}
}

// serverTable holds the non-INVITE server transactions of unreliable transports:
// which requests are being worked on, and the answers of those that were. It is
// bounded; one more transaction than fits is refused before any work is done.
type serverTable struct {
	shards [serverShards]serverShard
	limit  int // entries a shard
}

const serverShards = 64

type serverShard struct {
	mu      sync.Mutex
	entries map[txKey]outcome // without pointers, so that the collector passes over a million of them
	ring    [timerJRing]ended
	at      int                 // the ring's slot that is filled now
	peak    int                 // most entries since the map was made
	running map[uint64]struct{} // merge keys of what is worked on
}

// ended is what was answered within one second.
type ended struct {
	keys    []txKey
	answers []byte // those that are more than a status, packed
}

// outcome is what became of a request: a status, where the answer is no more than that,
// or the bit kept, and where in the ring the answer lies.
type outcome uint64

const (
	working outcome = 0 // its handler runs
	kept    outcome = 1 << 63

	slotShift  = 48
	offsetMask = 1<<slotShift - 1
)

// keep enters an answer into the slot that is filled now.
func (s *serverShard) keep(k txKey, a *answer) {
	e := &s.ring[s.at]
	o := outcome(a.status)
	if !a.plain() {
		o = kept | outcome(s.at)<<slotShift | outcome(len(e.answers))
		e.answers = a.pack(e.answers)
	}
	e.keys = append(e.keys, k)
	s.entries[k] = o
}

// answer gives it again.
func (s *serverShard) answer(o outcome) *answer {
	if o&kept == 0 {
		return plainAnswer(int(o))
	}
	return unpack(s.ring[o&^kept>>slotShift].answers[o&offsetMask:])
}

// timerJRing has a slot a second and one to spare, so that nothing leaves early.
const timerJRing = int(timerJ/time.Second) + 2

type txState int

const (
	txNew     txState = iota // the caller runs the handler
	txWorking                // a retransmission; the answer will come
	txMerged                 // another copy of what is being worked on
	txDone                   // a retransmission; the same answer goes out again
	txFull                   // no room
)

func newServerTable(limit int) *serverTable {
	t := &serverTable{limit: max(1, limit/serverShards)}
	for i := range t.shards {
		t.shards[i].entries = make(map[txKey]outcome)
		t.shards[i].running = make(map[uint64]struct{})
	}
	return t
}

// shard is the same for requests that are one request, which so meet under one lock.
func (t *serverTable) shard(id *txID) *serverShard { return &t.shards[id.merge%serverShards] }

// begin looks a request up and enters it where it is new: over an unreliable transport
// as a transaction, and where it has no To tag as the one copy that is worked on, until
// it is answered: clients use its identifiers again to answer a challenge.
func (t *serverTable) begin(tx *ServerTx) (txState, *answer) {
	s := t.shard(&tx.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !tx.Flow.Transport.Reliable() {
		o, known := s.entries[tx.id.key]
		switch {
		case known && o == working:
			return txWorking, nil
		case known:
			return txDone, s.answer(o)
		case len(s.entries) >= t.limit:
			return txFull, nil
		}
		s.entries[tx.id.key] = working
		s.peak = max(s.peak, len(s.entries))
		tx.tracked = true
	}
	if tx.Request.To.Tag() == "" {
		if _, dup := s.running[tx.id.merge]; dup {
			return txMerged, nil
		}
		s.running[tx.id.merge] = struct{}{}
		tx.alone = true
	}
	return txNew, nil
}

// finish ends the work on a request, and keeps the answer for Timer J.
func (t *serverTable) finish(r *ServerTx, a *answer) {
	s := t.shard(&r.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.alone {
		delete(s.running, r.id.merge)
	}
	if r.tracked {
		s.keep(r.id.key, a)
	}
}

// forget drops a transaction of which nothing is kept.
func (t *serverTable) forget(tx *ServerTx) {
	s := t.shard(&tx.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, tx.id.key)
}

// tick moves the ring on by one slot and forgets what lies there. It is called
// once a second.
func (t *serverTable) tick() {
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		s.at = (s.at + 1) % timerJRing
		over := &s.ring[s.at]
		for _, k := range over.keys {
			delete(s.entries, k)
		}
		over.keys, over.answers = emptied(over.keys, 1024), emptied(over.answers, 4096)
		s.shrink()
		s.mu.Unlock()
	}
}

// emptied lets a slot's memory go with a flood, and keeps it without one.
func emptied[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	return s[:0]
}

// shrink gives back what a flood made the map grow to: a Go map never does.
func (s *serverShard) shrink() {
	if s.peak < 4096 || len(s.entries) > s.peak/4 {
		return
	}
	small := make(map[txKey]outcome, len(s.entries))
	maps.Copy(small, s.entries)
	s.entries, s.peak = small, len(small)
}

// len counts the transactions that are remembered.
func (t *serverTable) len() int {
	n := 0
	for i := range t.shards {
		t.shards[i].mu.Lock()
		n += len(t.shards[i].entries)
		t.shards[i].mu.Unlock()
	}
	return n
}
