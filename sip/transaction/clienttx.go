package transaction

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"silod/sip"
)

// Timers of the non-INVITE client transaction (RFC 3261 section 17.1.2.2).
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	timerF  = 64 * timerT1
)

// Errors that end a client transaction without an answer, besides those of package
// transport.
var (
	ErrTimeout = errors.New("no answer") // Timer F
	ErrBusy    = errors.New("too many transactions")
)

// Result is how a client transaction ended: with a final response, or an error.
type Result struct {
	Tx       *ClientTx
	Response *sip.Message
	Err      error
}

// ClientTx is a non-INVITE client transaction. Its one Result comes on the channel
// that Send was given.
type ClientTx struct {
	Flow sip.Flow

	branch  string
	results chan<- Result
	table   *clientTable

	// Guarded by the table's shard lock.
	raw      []byte        // for retransmission; nil on a reliable transport
	interval time.Duration // Timer E
	ends     int64         // wheel tick of Timer F
	done     bool
}

// Abandon ends the transaction without a Result. The peer may still answer;
// nobody hears it.
func (c *ClientTx) Abandon() { c.table.end(c) }

// clientTable holds the client transactions that wait for their final response,
// by branch, and the wheel that retransmits them.
type clientTable struct {
	shards [clientShards]clientShard
	wheel  wheel
	live   atomic.Int64
	limit  int64
	send   func(sip.Flow, []byte) error
}

const clientShards = 32

type clientShard struct {
	mu    sync.Mutex
	calls map[string]*ClientTx
}

func newClientTable(limit int, send func(sip.Flow, []byte) error) *clientTable {
	t := &clientTable{limit: int64(limit), send: send}
	for i := range t.shards {
		t.shards[i].calls = make(map[string]*ClientTx)
	}
	return t
}

// shard picks by a character in the middle of our own branches; a response may
// bring any other.
func (t *clientTable) shard(branch string) *clientShard {
	i := min(len(magicCookie)+12, len(branch)-1)
	return &t.shards[branch[i]%clientShards]
}

// start enters a call and sends it. An error means that nothing was entered.
func (t *clientTable) start(c *ClientTx, raw []byte) error {
	if t.live.Add(1) > t.limit {
		t.live.Add(-1)
		return ErrBusy
	}
	s := t.shard(c.branch)
	interval := timerT2 // a stream's call only has Timer F to be looked at for
	s.mu.Lock()
	if !c.Flow.Transport.Reliable() {
		c.raw, interval = raw, timerT1
	}
	c.interval = interval
	c.ends = t.wheel.after(timerF)
	s.calls[c.branch] = c
	s.mu.Unlock()
	if err := t.send(c.Flow, raw); err != nil {
		if t.end(c) {
			return err
		}
		return nil // its connection has closed meanwhile, and that was its Result
	}
	t.wheel.add(c, interval) // the response may have changed c.interval already
	return nil
}

// end takes a call out; true for the one caller who did.
func (t *clientTable) end(c *ClientTx) bool {
	s := t.shard(c.branch)
	s.mu.Lock()
	ended := !c.done
	if ended {
		c.done, c.raw = true, nil
		delete(s.calls, c.branch)
	}
	s.mu.Unlock()
	if ended {
		t.live.Add(-1)
	}
	return ended
}

// respond gives a response to the call it belongs to; false where there is none.
// Over a stream it counts only on the connection that was asked; over UDP the
// branch, which cannot be guessed, is what proves it.
func (t *clientTable) respond(branch string, from sip.Flow, res *sip.Message) bool {
	if branch == "" {
		return false
	}
	s := t.shard(branch)
	s.mu.Lock()
	c := s.calls[branch]
	if c == nil || c.Flow.Transport != from.Transport || c.Flow.Conn != from.Conn {
		s.mu.Unlock()
		return false
	}
	if res.Status < 200 {
		c.interval = timerT2 // RFC 3261 section 17.1.2.2, Proceeding
		s.mu.Unlock()
		return true
	}
	s.mu.Unlock()
	if t.end(c) {
		c.results <- Result{Tx: c, Response: res}
	}
	return true
}

// fail ends all calls over a flow, because its connection closed.
func (t *clientTable) fail(f sip.Flow, err error) {
	var gone []*ClientTx
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for _, c := range s.calls {
			if c.Flow == f {
				gone = append(gone, c)
			}
		}
		s.mu.Unlock()
	}
	for _, c := range gone {
		if t.end(c) {
			c.results <- Result{Tx: c, Err: err}
		}
	}
}

// tick retransmits and times out what is due.
func (t *clientTable) tick() {
	for _, c := range t.wheel.tick() {
		s := t.shard(c.branch)
		s.mu.Lock()
		raw, wait, done := c.raw, c.interval, c.done
		left := time.Duration(c.ends-t.wheel.now()) * wheelTick
		over := left <= 0
		if !done && !over {
			c.interval = min(2*c.interval, timerT2)
			wait = min(c.interval, left)
		}
		s.mu.Unlock()
		switch {
		case done:
		case over:
			if t.end(c) {
				c.results <- Result{Tx: c, Err: ErrTimeout}
			}
		default:
			if raw != nil {
				// A failure to send again is no news: Timer F is running.
				_ = t.send(c.Flow, raw)
			}
			t.wheel.add(c, wait)
		}
	}
}

// Send sends a request over a flow with a Via of ours on top, as a client transaction. Its
// one Result goes to results, which must have room for it. An error means that nothing was
// sent and no Result will come. recipient is the canonical address to which the request is
// sent on: if the request comes back to us for it, Looped reports that. The zero AoR is for
// a request that ends at its receiver.
func (l *Layer) Send(m *sip.Message, recipient sip.AoR, flow sip.Flow, results chan<- Result) (*ClientTx, error) {
	c := &ClientTx{Flow: flow, branch: newBranch(recipient), results: results, table: l.client}
	raw := m.AppendWithVia(make([]byte, 0, m.Size()), l.transport.Via(flow)+";branch="+c.branch+";rport")
	l.Stats.ClientTransactions.Inc()
	if err := l.client.start(c, raw); err != nil {
		return nil, err
	}
	return c, nil
}

// Do sends a request and waits for its final response.
func (l *Layer) Do(ctx context.Context, m *sip.Message, flow sip.Flow) (*sip.Message, error) {
	results := make(chan Result, 1)
	call, err := l.Send(m, sip.AoR{}, flow, results)
	if err != nil {
		return nil, err
	}
	select {
	case r := <-results:
		return r.Response, r.Err
	case <-ctx.Done():
		call.Abandon()
		return nil, ctx.Err()
	}
}
