package main

import (
	"strconv"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Limits on messages that are kept.
const (
	transactionTime = 32 * time.Second // Timer J: how long retransmissions come (RFC 3261 section 17.2.2)
	maxRemembered   = 4096             // messages
	maxWaiting      = 256              // messages that are not printed yet; further ones get a 503
)

// Arrivals has the messages of one link taken in the order in which they arrived, and each once. sipgo
// passes each message, and each response, to a goroutine of its own, and forgets a message on a stream
// as soon as it is answered.
//
// The goroutine that reads the link calls note for each message and response, in order. The goroutine
// of a message calls enter, which waits until the message is the next.
type arrivals struct {
	gone    <-chan struct{} // closed when the link has ended: nothing can be answered
	closing chan struct{}   // closed by close

	mu      sync.Mutex
	byKey   map[string]*arrival
	order   []*arrival    // oldest first
	last    chan struct{} // closed when the message before has been answered
	request uint32        // the CSeq of the request that waits for its response; 0 for none
	taken   chan struct{} // closed when that response has been taken
	answer  chan struct{} // the taken of the last response that arrived
	waiting int
	closed  bool
	running sync.WaitGroup // messages between begin and their answer
}

// An arrival is one message, however often it is retransmitted.
type arrival struct {
	key   string
	at    time.Time
	noted chan struct{} // closed when the reader has seen it

	after    [2]chan struct{} // what arrived before: the last message, the last response
	answered chan struct{}    // closed when code is final
	code     int              // of the answer; 0 where there was none
}

// newArrivals returns the arrivals of a link that ends with gone.
func newArrivals(gone <-chan struct{}) *arrivals {
	return &arrivals{gone: gone, closing: make(chan struct{}), byKey: map[string]*arrival{}}
}

// note records the order of messages and responses.
func (a *arrivals) note(msg gosip.Message) {
	switch msg := msg.(type) {
	case *gosip.Request:
		if msg.Method == gosip.MESSAGE {
			a.noteMessage(transactionKey(msg))
		}
	case *gosip.Response:
		number, _, _ := strings.Cut(fieldOf(msg, "cseq"), " ")
		n, err := strconv.ParseUint(number, 10, 32)
		a.mu.Lock()
		defer a.mu.Unlock()
		if err == nil && msg.StatusCode >= 200 && a.request != 0 && n == uint64(a.request) {
			a.answer = a.taken
		}
	}
}

// noteMessage puts a new message at the end. A retransmission has its place.
func (a *arrivals) noteMessage(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.find(key)
	select {
	case <-m.noted:
		return
	default:
	}
	if a.waiting < maxWaiting {
		a.waiting++
		m.after = [2]chan struct{}{a.last, a.answer}
		a.last = m.answered
	} else {
		m.code = gosip.StatusServiceUnavailable
		close(m.answered)
	}
	close(m.noted)
}

// find returns the arrival of a transaction, new where it has none: note and enter are called in any
// order.
func (a *arrivals) find(key string) *arrival {
	now := time.Now()
	if m := a.byKey[key]; m != nil && now.Sub(m.at) < transactionTime {
		return m
	}
	for len(a.order) > 0 && (now.Sub(a.order[0].at) >= transactionTime || len(a.order) >= maxRemembered) {
		delete(a.byKey, a.order[0].key)
		a.order = a.order[1:]
	}
	m := &arrival{key: key, at: now, noted: make(chan struct{}), answered: make(chan struct{})}
	a.byKey[key] = m
	a.order = append(a.order, m)
	return m
}

// expect announces a request: messages that arrive after its final response wait for taken, which is
// to be called when that response has been processed, or when there is none.
func (a *arrivals) expect(cseq uint32) (taken func()) {
	done := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.request, a.taken = cseq, done
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.request = 0
		close(done)
	}
}

// responded reports whether the final response to the request has arrived.
func (a *arrivals) responded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken != nil && a.answer == a.taken
}

// enter waits until all that arrived before a message has been taken, calls take for its status
// code, and passes that to respond. A message that came before gets the same answer again. Code 0,
// of a message that cannot be answered, is not passed on.
func (a *arrivals) enter(key string, take func(at time.Time) int, respond func(code int)) {
	m, ok := a.begin(key)
	if !ok {
		respond(gosip.StatusTemporarilyUnavailable)
		return
	}
	defer a.running.Done()
	if code := a.code(m, take); code != 0 {
		respond(code)
	}
}

// code waits until a message is the next, and returns its status code; 0 where the link has ended.
func (a *arrivals) code(m *arrival, take func(at time.Time) int) int {
	select {
	case <-m.noted: // soon: the reader is there already
	case <-a.gone:
		return 0
	}
	select {
	case <-m.answered:
		return m.code
	default:
	}
	for _, before := range m.after {
		if before == nil {
			continue
		}
		select {
		case <-before:
		case <-a.closing: // its sender's server keeps it
			return gosip.StatusTemporarilyUnavailable
		case <-a.gone:
			return 0
		}
	}
	m.code = take(m.at)
	a.finish(m)
	return m.code
}

// begin finds a message and has close wait for it. It is false after close.
func (a *arrivals) begin(key string) (*arrival, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, false
	}
	a.running.Add(1)
	return a.find(key), true
}

// finish ends the wait of the next message.
func (a *arrivals) finish(m *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	m.after = [2]chan struct{}{}
	close(m.answered)
}

// close waits until the message that is being taken has been answered. Those that wait, and those
// that come now, are answered 480.
func (a *arrivals) close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.closing)
	}
	a.mu.Unlock()
	a.running.Wait()
}

// transactionKey returns what all retransmissions of a request have in common (RFC 3261 section
// 17.2.3), as text: sipgo's own key needs fields that another goroutine may be parsing.
func transactionKey(req *gosip.Request) string {
	return strings.Join([]string{fieldOf(req, "via", "v"), fieldOf(req, "call-id", "i"), fieldOf(req, "cseq")}, "\n")
}

// fieldOf returns the value of the first field with one of the names, which are in lower case.
func fieldOf(msg interface{ GetHeaders(string) []gosip.Header }, names ...string) string {
	for _, name := range names {
		if list := msg.GetHeaders(name); len(list) > 0 {
			return list[0].Value()
		}
	}
	return ""
}
