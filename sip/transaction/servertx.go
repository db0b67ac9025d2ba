package transaction

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// ServerTx is a server transaction: a request that came in, and its one answer.
type ServerTx struct {
	Request  sip.Request
	Flow     sip.Flow // where the request came from; its answer and later requests go there
	Received time.Time

	// Unknown is set by a handler that refuses the request of an unknown sender, for its
	// own Done.
	Unknown bool

	layer     *Layer
	id        txID
	size      int              // of the request, in bytes
	tracked   bool             // it is in the table of transactions
	alone     bool             // entered as the one copy of its request that is handled
	stateless bool             // see Stateless
	batch     *transport.Batch // of the request; nil for a stream, and when Receive has returned
	handled   bool             // Handle was called
	work      Work
	answered  atomic.Pointer[answer]
}

// newServerTx returns the transaction of a request. With an error it holds as much as the
// answer needs; it is nil where there cannot be one.
func newServerTx(m *sip.Message, from transport.Origin) (*ServerTx, error) {
	tx := &ServerTx{Flow: from.Flow, batch: from.Batch, Received: time.Now()}
	f, err := tx.Request.Read(m)
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, err
	}
	tx.identify(&f)
	return tx, err
}

// Respond sends the final answer. An empty reason stands for the standard phrase.
// Only the first call counts. Retransmissions of the request get the same answer. The
// answer may leave later, together with those to other requests: see AfterReply.
func (tx *ServerTx) Respond(status int, reason string, headers ...sip.Header) {
	if reason == "" {
		reason = sip.ReasonPhrase(status)
	}
	tx.finish(&answer{status: status, reason: reason, headers: headers})
}

// ForwardResponse sends a response that came from downstream as the answer, as a stateful
// proxy does (RFC 3261 section 16.7): without the Via that was ours. Two are not
// passed on: a 408 must never be sent to such a request (RFC 4320 section 4.2), and a
// 503 would say that we are overloaded, and not that device (section 16.7, step 6).
func (tx *ServerTx) ForwardResponse(res *sip.Message) {
	a := &answer{status: res.Status, reason: res.Reason, to: res.Get("To"), body: res.Body}
	switch res.Status {
	case 408:
		a.status, a.reason = 480, sip.ReasonPhrase(480)
	case 503:
		a.status, a.reason = 500, sip.ReasonPhrase(500)
	}
	for _, h := range res.Headers {
		switch h.Name {
		case "Via", "From", "To", "Call-ID", "CSeq", "Content-Length":
		default:
			a.headers = append(a.headers, h)
		}
	}
	tx.finish(a)
}

// AfterReply calls f when the answer that was given has been written to the socket, or
// at once where none waits to be written. f must not wait. It is for a request of ours
// that must not overtake the answer.
func (tx *ServerTx) AfterReply(f func()) {
	if tx.batch == nil {
		f()
		return
	}
	tx.batch.AfterReply(f)
}

// Answer returns the status and reason of the answer, 0 where there is none yet.
func (tx *ServerTx) Answer() (status int, reason string) {
	if a := tx.answered.Load(); a != nil {
		return a.status, a.reason
	}
	return 0, ""
}

func (tx *ServerTx) finish(a *answer) {
	if !tx.answered.CompareAndSwap(nil, a) {
		return
	}
	goes := true
	if tx.stateless {
		tx.forget()
		a, goes = a.shrinkToRequest(tx)
		tx.answered.Store(a)
	}
	if tx.tracked || tx.alone {
		tx.layer.server.finish(tx, a)
	}
	if goes {
		tx.layer.reply(tx)
	}
}

// replyTo returns the address that the answer goes to.
func (tx *ServerTx) replyTo() netip.AddrPort {
	if tx.Flow.Transport.Reliable() {
		return tx.Flow.Remote
	}
	return tx.Request.Via.ReplyAddr(tx.Flow.Remote)
}

// Unavailable answers 503 with Retry-After, the caller's or the usual one, and lets a
// retransmission be tried anew: for a failure of the store, which may pass before the
// client gives up.
func (tx *ServerTx) Unavailable(reason string, more ...sip.Header) {
	tx.forget()
	if !slices.ContainsFunc(more, func(h sip.Header) bool { return h.Name == "Retry-After" }) {
		more = append(more, sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
	}
	tx.Respond(503, reason, more...)
}
