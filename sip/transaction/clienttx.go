package transaction

import (
	"context"
	"errors"
	"time"

	"silod/sip"
)

// Timers of the non-INVITE client transaction (RFC 3261 section 17.1.2.2).
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	timerF  = 64 * timerT1
)

// Errors of Send, Do and Result, besides those of package transport.
var (
	ErrTimeout = errors.New("no answer") // Timer F
	ErrBusy    = errors.New("too many transactions")
)

// A Result is the end of a client transaction: a final response or an error.
type Result struct {
	Tx       *ClientTx
	Response *sip.Message
	Err      error
}

// A ClientTx is a non-INVITE client transaction. Send returns one. It ends with one Result,
// or by Abandon.
type ClientTx struct {
	Flow sip.Flow

	branch  string
	results chan<- Result
	table   *clientTable
	conn    connLinks // protected by the lock of the connIndex's shard

	// Protected by the lock of the table's shard.
	raw        []byte        // for retransmission; nil on a reliable transport
	interval   time.Duration // Timer E
	expires    int64         // wheel tick of Timer F
	proceeding bool          // a provisional response was received
	done       bool
	expected   uint8 // responses that expects has permitted
}

// Abandon ends the transaction without a Result. A later response is ignored. It returns
// false if the transaction has ended before: its Result is sent, or will be.
func (tx *ClientTx) Abandon() bool { return tx.table.end(tx) }

// Silence ends the retransmissions of the request. A response is still received until
// Timer F.
func (tx *ClientTx) Silence() {
	s := tx.table.shard(tx.branch)
	s.mu.Lock()
	defer s.mu.Unlock()
	tx.raw = nil
}

// Retransmit sends the request again now if the transport is unreliable and there is no
// final response. It does not change the timers.
func (tx *ClientTx) Retransmit() {
	s := tx.table.shard(tx.branch)
	s.mu.Lock()
	raw := tx.raw
	s.mu.Unlock()
	if raw != nil {
		_ = tx.table.send(tx.Flow, raw) // as in tick
	}
}

// Proceeding reports whether a provisional response has been received.
func (tx *ClientTx) Proceeding() bool {
	s := tx.table.shard(tx.branch)
	s.mu.Lock()
	defer s.mu.Unlock()
	return tx.proceeding
}

// Age returns the time since the request was first sent, with the precision of the timers.
func (tx *ClientTx) Age() time.Duration {
	return timerF - time.Duration(tx.expires-tx.table.wheel.now())*wheelTick
}

// Send sends a request with our Via over a flow. The Result of the transaction is sent to
// results, which must have space for it. After an error nothing was sent, and no
// Result follows.
//
// mark is the LoopMark of the AoR to which a proxy forwards the request, "" if the request is
// not forwarded.
func (l *Layer) Send(m *sip.Message, mark string, flow sip.Flow, results chan<- Result) (*ClientTx, error) {
	tx := &ClientTx{Flow: flow, branch: newBranch(mark), results: results, table: l.client}
	raw := m.AppendWithVia(make([]byte, 0, m.Size()), l.transport.Via(flow)+";branch="+tx.branch+";rport")
	l.Stats.ClientTransactions.Inc()
	if err := l.client.start(tx, raw); err != nil {
		return nil, err
	}
	return tx, nil
}

// Do sends a request and waits for its final response. If ctx is done first, it abandons
// the transaction and returns ctx.Err().
func (l *Layer) Do(ctx context.Context, m *sip.Message, flow sip.Flow) (*sip.Message, error) {
	results := make(chan Result, 1)
	tx, err := l.Send(m, "", flow, results)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-results:
		return r.Response, r.Err
	case <-ctx.Done():
		tx.Abandon()
		return nil, ctx.Err()
	}
}
