package transaction

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"silod/sip"
	"silod/sip/transport"
)

// A ServerTx is a server transaction: a received request and its final answer. Its methods
// must not be called concurrently.
type ServerTx struct {
	Request  sip.Request
	Flow     sip.Flow // over which the request was received
	Received time.Time

	layer    *Layer
	id       txID
	size     int              // of the request in bytes
	batch    *transport.Batch // of the request; nil for a stream, and after Receive
	work     Work             // returned by Handle
	answered atomic.Pointer[answer]

	// All flags stand together: with more padding a ServerTx would exceed 760 bytes and
	// be allocated in the next size class.

	// Unknown may be set by a handler that rejects the request of an unknown sender, and
	// read by its Done. The layer does not use it.
	Unknown bool

	handled  bool // Handle has been called
	hasKey   bool // the table contains id.key
	awaited  bool // see serverShard.await
	hasMerge bool // the table contains id.merge
	bounded  bool // see Unproven
	forget   bool // the answer is not kept for retransmissions

	place int32 // in serverShard.unanswered
}

// newServerTx returns the transaction of a request. If the error is sip.ErrNotSIP, it
// returns nil. If it is a *sip.ParseError, the transaction can be answered with that error.
func newServerTx(m *sip.Message, from transport.Origin) (*ServerTx, error) {
	tx := &ServerTx{Flow: from.Flow, batch: from.Batch, Received: time.Now()}
	f, err := tx.Request.Read(m)
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, err
	}
	tx.setID(&f)
	return tx, err
}

// Respond sends the final answer. An empty reason stands for the standard phrase. After the
// first answer, further calls of Respond, ForwardResponse and Unavailable have no effect.
// Retransmissions of the request get the same answer. Over UDP the answer may be sent
// later, with those to other requests: see AfterReply.
func (tx *ServerTx) Respond(status int, reason string, headers ...sip.Header) {
	if reason == "" {
		reason = sip.ReasonPhrase(status)
	}
	tx.finish(&answer{status: status, reason: reason, headers: headers})
}

// ForwardResponse sends a response from downstream as the final answer, without our Via,
// as a stateful proxy does (RFC 3261 section 16.7). It replaces 408, which must not be sent
// for a non-INVITE request (RFC 4320 section 4.2), by 480, and 503, which would mean that
// this server is overloaded (section 16.7, step 6), by 500.
func (tx *ServerTx) ForwardResponse(res *sip.Message) {
	a := &answer{status: res.Status, reason: res.Reason, to: tx.forwardedTo(res.Get("To")), body: res.Body}
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

// forwardedTo returns the To of a response from downstream as the sender gets it. If the request
// was sent on with another To than it had, it is that of the sender with the tag of the response.
func (tx *ServerTx) forwardedTo(value string) string {
	own := tx.Request.Get("To")
	if tx.Request.ToValue() == own {
		return value
	}
	to, err := sip.ParseNameAddr(value)
	if err != nil || to.Tag() == "" || tx.Request.To.Tag() != "" {
		return "" // the To of our own answers
	}
	i := slices.IndexFunc(to.Params, func(p sip.Param) bool { return strings.EqualFold(p.Name, "tag") })
	return string(to.Params[i].AppendTo([]byte(own)))
}

// Unavailable sends a 503 with Retry-After, for a temporary failure of the store. If headers
// contains no Retry-After, it adds one. A retransmission is a new request.
func (tx *ServerTx) Unavailable(reason string, headers ...sip.Header) {
	tx.forget = true
	if !slices.ContainsFunc(headers, func(h sip.Header) bool { return h.Name == "Retry-After" }) {
		headers = append(headers, sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
	}
	tx.Respond(503, reason, headers...)
}

// AfterReply calls f when the answer has been written to the socket, or immediately if no
// answer waits to be written. f must not wait. It serves to send a request that must not
// arrive before the answer.
func (tx *ServerTx) AfterReply(f func()) {
	if tx.batch == nil {
		f()
		return
	}
	tx.batch.AfterReply(f)
}

// Answer returns the status and reason of the final answer, or 0 before it.
func (tx *ServerTx) Answer() (status int, reason string) {
	if a := tx.answered.Load(); a != nil {
		return a.status, a.reason
	}
	return 0, ""
}

// finish sends the final answer and keeps it for retransmissions, if they get the same.
func (tx *ServerTx) finish(a *answer) {
	if !tx.answered.CompareAndSwap(nil, a) {
		return
	}
	send := true
	if tx.bounded {
		a, send = a.shrinkToRequest(tx)
		tx.answered.Store(a)
	}
	if tx.hasKey || tx.hasMerge {
		tx.layer.server.finish(tx, a)
	}
	if send {
		tx.layer.reply(tx)
	}
}

// replyTo returns the destination of the answer.
func (tx *ServerTx) replyTo() netip.AddrPort {
	if tx.Flow.Transport.Reliable() {
		return tx.Flow.Remote
	}
	return tx.Request.Via.ReplyAddr(tx.Flow.Remote)
}
