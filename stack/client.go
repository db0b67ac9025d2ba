package stack

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"strings"
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

// What ends a client transaction without an answer.
var (
	ErrTimeout   = errors.New("no answer") // Timer F
	ErrTransport = errors.New("cannot be sent")
	ErrBusy      = errors.New("too many transactions")
	ErrClosed    = errors.New("connection closed")
)

// Result is how a client transaction ended: with a final response, or an error.
type Result struct {
	Call     *Call
	Response *sip.Message
	Err      error
}

// Call is a non-INVITE client transaction. Its one Result comes on the channel
// that Send was given.
type Call struct {
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
func (c *Call) Abandon() { c.table.end(c) }

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
	calls map[string]*Call
}

func newClientTable(limit int, send func(sip.Flow, []byte) error) *clientTable {
	t := &clientTable{limit: int64(limit), send: send}
	for i := range t.shards {
		t.shards[i].calls = make(map[string]*Call)
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
func (t *clientTable) start(c *Call, raw []byte) error {
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
func (t *clientTable) end(c *Call) bool {
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
		c.results <- Result{Call: c, Response: res}
	}
	return true
}

// fail ends all calls over a flow, because its connection closed.
func (t *clientTable) fail(f sip.Flow, err error) {
	var gone []*Call
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
			c.results <- Result{Call: c, Err: err}
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
				c.results <- Result{Call: c, Err: ErrTimeout}
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

// magicCookie starts every branch that is unique in space and time (RFC 3261
// section 8.1.1.7).
const magicCookie = "z9hG4bK"

// tokens makes what must be unique and must not be guessed: a counter, and its
// hash under a seed that nobody knows. It costs no system call.
var tokens = struct {
	count *atomic.Uint64
	seed  maphash.Seed
}{randomCounter(), maphash.MakeSeed()}

// randomCounter begins where no other process has.
func randomCounter() *atomic.Uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	n := new(atomic.Uint64)
	n.Store(binary.BigEndian.Uint64(b[:]))
	return n
}

var base32Low = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newBranch returns a branch that no other call has had or will have. It ends in the
// loop mark of the recipient, unless that is zero.
func newBranch(recipient sip.AoR) string {
	var n [16]byte
	binary.BigEndian.PutUint64(n[:], tokens.count.Add(1))
	binary.BigEndian.PutUint64(n[8:], maphash.Bytes(tokens.seed, n[:8]))
	b := make([]byte, 0, 48)
	b = append(b, magicCookie...)
	b = base32Low.AppendEncode(b, n[3:])
	if !recipient.IsZero() {
		b = appendLoopMark(b, recipient)
	}
	return string(b)
}

// NewToken makes a text that no other call has had or will have, and that nobody
// can guess: for Call-IDs and tags.
func NewToken() string { return newBranch(sip.AoR{})[len(magicCookie):] }

// appendLoopMark appends a mark of a recipient that only this process can make.
func appendLoopMark(b []byte, recipient sip.AoR) []byte {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], maphash.Comparable(tokens.seed, recipient))
	return base32Low.AppendEncode(append(b, '.'), n[:5])
}

// Looped reports whether this process has sent the request to the same recipient before
// (RFC 3261 section 16.3, item 4). A request that comes back for another recipient is
// a spiral, which is allowed.
func (tx *ServerTx) Looped(recipient sip.AoR) bool {
	var room [16]byte
	mark := string(appendLoopMark(room[:0], recipient))
	for i := range tx.Request.Headers {
		if tx.Request.Headers[i].Name == "Via" && strings.Contains(tx.Request.Headers[i].Value, mark) {
			return true
		}
	}
	return false
}

// Do sends a request and waits for its final response.
func (s *Stack) Do(ctx context.Context, m *sip.Message, flow sip.Flow) (*sip.Message, error) {
	results := make(chan Result, 1)
	call, err := s.Send(m, sip.AoR{}, flow, results)
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
