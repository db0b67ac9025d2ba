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

	// Protected by the lock of the table's shard.
	raw      []byte        // for retransmission; nil on a reliable transport
	interval time.Duration // Timer E
	expires  int64         // wheel tick of Timer F
	done     bool
}

// Abandon ends the transaction without a Result. A later response is ignored.
func (tx *ClientTx) Abandon() { tx.table.end(tx) }

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
