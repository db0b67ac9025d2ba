package transaction

import (
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
)

// A clientTable holds the client transactions without a final response, by branch and by
// connection, and the wheel with their timers.
type clientTable struct {
	shards [clientShards]clientShard
	conns  connIndex
	wheel  wheel
	live   atomic.Int64 // transactions
	limit  int64
	send   func(sip.Flow, []byte) error
}

const clientShards = 32

type clientShard struct {
	mu  sync.Mutex
	txs map[string]*ClientTx
}

func newClientTable(limit int, send func(sip.Flow, []byte) error) *clientTable {
	t := &clientTable{limit: int64(limit), send: send}
	for i := range t.shards {
		t.shards[i].txs = make(map[string]*ClientTx)
	}
	return t
}

// shard returns the shard of a branch, which must not be empty. It is selected by a random
// character of our branches. The branch in a response may be any other text.
func (t *clientTable) shard(branch string) *clientShard {
	return &t.shards[shardIndex(branch)]
}

func shardIndex[B string | []byte](branch B) byte {
	return branch[min(len(magicCookie)+12, len(branch)-1)] % clientShards
}

// start adds a transaction and sends its request. If it returns an error, the transaction
// is not in the table and has no Result.
func (t *clientTable) start(tx *ClientTx, raw []byte) error {
	if t.live.Add(1) > t.limit {
		t.live.Add(-1)
		return ErrBusy
	}
	s := t.shard(tx.branch)
	interval := timerT2 // on a reliable transport only for checking Timer F
	s.mu.Lock()
	if !tx.Flow.Transport.Reliable() {
		tx.raw, interval = raw, timerT1
	}
	tx.interval = interval
	tx.expires = t.wheel.tickAfter(timerF)
	s.txs[tx.branch] = tx
	s.mu.Unlock()
	t.conns.add(tx) // before sending, so that fail misses none
	if err := t.send(tx.Flow, raw); err != nil {
		if t.end(tx) {
			return err
		}
		return nil // the connection was closed in the meantime: fail has sent the Result
	}
	t.wheel.add(tx, interval) // not tx.interval, which a response may have changed already
	return nil
}

// end removes a transaction. It returns false if that has been done before.
func (t *clientTable) end(tx *ClientTx) bool {
	s := t.shard(tx.branch)
	s.mu.Lock()
	first := !tx.done
	if first {
		tx.done, tx.raw = true, nil
		delete(s.txs, tx.branch)
	}
	s.mu.Unlock()
	if first {
		t.live.Add(-1)
		t.conns.remove(tx)
	}
	return first
}

// expects reports whether a response with a branch belongs to a transaction: see receive. It
// returns true maxExpected times for each.
func (t *clientTable) expects(branch []byte, from sip.Flow) bool {
	if len(branch) == 0 {
		return false
	}
	s := &t.shards[shardIndex(branch)]
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := s.txs[string(branch)]
	if tx == nil || !tx.over(from) || tx.expected == maxExpected {
		return false
	}
	tx.expected++
	return true
}

// maxExpected is more than most servers send: one provisional and one final response.
const maxExpected = 8

// over reports whether a response may be received over a flow: over a stream only over the
// connection of the request. Over UDP the source is not compared, because the branch cannot be
// guessed.
func (tx *ClientTx) over(f sip.Flow) bool {
	return tx.Flow.Transport == f.Transport && tx.Flow.Conn == f.Conn
}

// receive passes a response to its transaction. It reports whether there is one.
func (t *clientTable) receive(branch string, from sip.Flow, res *sip.Message) bool {
	if branch == "" {
		return false
	}
	s := t.shard(branch)
	s.mu.Lock()
	tx := s.txs[branch]
	if tx == nil || !tx.over(from) {
		s.mu.Unlock()
		return false
	}
	if res.Status < 200 {
		tx.interval, tx.proceeding = timerT2, true // RFC 3261 section 17.1.2.2
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	if t.end(tx) {
		tx.results <- Result{Tx: tx, Response: res}
	}
	return true
}

// fail ends all transactions over a connection with an error.
func (t *clientTable) fail(conn uint64, err error) {
	for _, tx := range t.conns.take(conn) {
		if t.end(tx) {
			tx.results <- Result{Tx: tx, Err: err}
		}
	}
}

// tick advances the wheel, and retransmits or ends the transactions whose timers expire. It
// must be called every wheelTick.
func (t *clientTable) tick() {
	for _, tx := range t.wheel.advance() {
		s := t.shard(tx.branch)
		s.mu.Lock()
		raw, wait, done := tx.raw, tx.interval, tx.done
		left := time.Duration(tx.expires-t.wheel.now()) * wheelTick
		expired := left <= 0
		if !done && !expired {
			tx.interval = min(2*tx.interval, timerT2)
			wait = min(tx.interval, left)
		}
		s.mu.Unlock()
		switch {
		case done:
		case expired:
			if t.end(tx) {
				tx.results <- Result{Tx: tx, Err: ErrTimeout}
			}
		default:
			if raw != nil {
				_ = t.send(tx.Flow, raw) // if it fails, the transaction ends by Timer F
			}
			t.wheel.add(tx, wait)
		}
	}
}
