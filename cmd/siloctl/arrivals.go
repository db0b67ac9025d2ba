package main

import (
	"strconv"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"
)

// Limits on remembered messages.
const (
	transactionTime = 32 * time.Second // Timer J: how long retransmissions come (RFC 3261 section 17.2.2)
	maxRemembered   = 4096             // messages
	maxWaiting      = 256              // messages that are not printed yet; further ones get a 503
)

// An arrivals keeps the order of the messages on one link: each is received once, after all messages
// before it, and after the response that came before it has been returned to its caller. sipgo does
// not: it runs a goroutine for each message and each response, and forgets a message on a stream as
// soon as it is answered.
//
// The goroutine that reads the link calls note for each message and response, in order. The goroutine
// of a message calls handle, which waits until the message is the next.
type arrivals struct {
	gone    <-chan struct{} // closed when the link has ended: nothing can be answered
	closing chan struct{}   // closed by close

	mu      sync.Mutex
	byKey   map[string]*arrival
	order   []*arrival    // oldest first
	last    chan struct{} // closed when the newest message has its status code
	request uint32        // the CSeq of the request that waits for its response; 0 for none
	current chan struct{} // closed when the response to that request has been returned
	newest  chan struct{} // the value of current for the newest response that arrived
	waiting int
	closed  bool
	running sync.WaitGroup // calls of handle
}

// An arrival is one message, however often it is retransmitted.
type arrival struct {
	key   string
	at    time.Time
	noted chan struct{}    // closed by note, when after is set
	after [2]chan struct{} // of the message and of the response before this one: closed when they are done; nil: none

	answered chan struct{} // closed when code is final
	code     int           // the status code of the answer; 0: none
}

// newArrivals returns the arrivals of a link that ends when gone is closed.
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
			a.newest = a.current
		}
	}
}

// noteMessage adds a new message at the end of the order. It does nothing for a retransmission.
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
		m.after = [2]chan struct{}{a.last, a.newest}
		a.last = m.answered
	} else {
		m.code = gosip.StatusServiceUnavailable
		close(m.answered)
	}
	close(m.noted)
}

// find returns the arrival of a transaction, a new one if it has none. It is called by note and by
// handle, in any order.
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

// expect announces a request with that CSeq. Messages that arrive after its final response wait for
// done, which must be called when that response has been returned, or when there is none.
func (a *arrivals) expect(cseq uint32) (done func()) {
	current := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.request, a.current = cseq, current
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.request = 0
		close(current)
	}
}

// responded reports whether the final response to the last announced request has arrived.
func (a *arrivals) responded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current != nil && a.newest == a.current
}

// handle waits until a message is the next, calls receive for its status code, and passes that to
// respond. A retransmission gets the code of the first transmission, without a call of receive.
// Code 0, of a message that cannot be answered, is not passed on.
func (a *arrivals) handle(key string, receive func(at time.Time) int, respond func(code int)) {
	m, ok := a.begin(key)
	if !ok {
		respond(gosip.StatusTemporarilyUnavailable)
		return
	}
	defer a.running.Done()
	if code := a.statusCode(m, receive); code != 0 {
		respond(code)
	}
}

// statusCode waits until a message is the next, and returns its status code. It returns 480 after
// close, so that the sender's server keeps the message, and 0 if the link has ended.
func (a *arrivals) statusCode(m *arrival, receive func(at time.Time) int) int {
	select {
	case <-m.noted: // soon: the reader starts this goroutine just before it calls note
	case <-a.closing:
	case <-a.gone:
		return 0
	}
	select {
	case <-m.answered:
		return m.code
	default:
	}
	select {
	case <-m.noted:
	default: // closing
		return gosip.StatusTemporarilyUnavailable
	}
	for _, before := range m.after {
		if before == nil {
			continue
		}
		select {
		case <-before:
		case <-a.closing:
			return gosip.StatusTemporarilyUnavailable
		case <-a.gone:
			return 0
		}
	}
	m.code = receive(m.at)
	a.finish(m)
	return m.code
}

// begin finds a message, and makes close wait for it. It returns false after close.
func (a *arrivals) begin(key string) (*arrival, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, false
	}
	a.running.Add(1)
	return a.find(key), true
}

// finish lets the next message continue.
func (a *arrivals) finish(m *arrival) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting--
	m.after = [2]chan struct{}{}
	close(m.answered)
}

// close waits until the message that is being received has been answered. Messages that wait, and
// those that arrive later, are answered 480.
func (a *arrivals) close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.closing)
	}
	a.mu.Unlock()
	a.running.Wait()
}

// transactionKey returns a key that all retransmissions of a request share (RFC 3261 section 17.2.3).
// It is made of text, because another goroutine may be parsing the fields that sipgo's own key needs.
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
