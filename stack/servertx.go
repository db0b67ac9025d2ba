package stack

import (
	"errors"
	"net/netip"
	"sync/atomic"

	"silod/sip"
)

// ServerTx is a server transaction: a request that came in, and its one answer.
type ServerTx struct {
	Request sip.Request
	Flow    sip.Flow // where the request came from; its answer and later requests go there

	stack     *Stack
	id        txID
	size      int    // of the request, in bytes
	tracked   bool   // it is in the table of transactions
	alone     bool   // entered as the one copy of its request that is handled
	stateless bool   // see Stateless
	batch     *batch // that the request came with; nil where no reader waits for the handler
	answered  atomic.Pointer[answer]
}

// newServerTx returns the transaction of a request. With an error it holds as much as the
// answer needs; it is nil where there cannot be one.
func newServerTx(m *sip.Message, flow sip.Flow) (*ServerTx, error) {
	tx := &ServerTx{Flow: flow}
	f, err := tx.Request.Read(m)
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, err
	}
	tx.identify(&f)
	return tx, err
}

// Respond sends the final answer. An empty reason stands for the standard phrase.
// Only the first call counts. Once it returns, the answer is on its way (see Flush), and
// retransmissions of the request will get the same one.
func (r *ServerTx) Respond(status int, reason string, headers ...sip.Header) {
	if reason == "" {
		reason = sip.ReasonPhrase(status)
	}
	r.finish(&answer{status: status, reason: reason, headers: headers})
}

// Forward sends a response that came from downstream as the answer, as a stateful
// proxy does (RFC 3261 section 16.7): without the Via that was ours. Two are not
// passed on: a 408 must never be sent to such a request (RFC 4320 section 4.2), and a
// 503 would say that we are overloaded, and not that device (section 16.7, step 6).
func (r *ServerTx) Forward(res *sip.Message) {
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
	r.finish(a)
}

// Answer is the status and reason of the answer, 0 where there is none yet.
func (r *ServerTx) Answer() (status int, reason string) {
	if a := r.answered.Load(); a != nil {
		return a.status, a.reason
	}
	return 0, ""
}

func (r *ServerTx) finish(a *answer) {
	if !r.answered.CompareAndSwap(nil, a) {
		return
	}
	goes := true
	if r.stateless {
		r.forget()
		a, goes = a.trimmed(r)
	}
	if r.tracked || r.alone {
		r.stack.server.finish(r, a)
	}
	if goes {
		r.stack.reply(r, a)
	} else {
		r.stack.Stats.HeldBack.Inc()
	}
}

// replyTo is where the answer goes.
func (r *ServerTx) replyTo() netip.AddrPort {
	if r.Flow.Transport.Reliable() {
		return r.Flow.Remote
	}
	return r.Request.Via.ReplyAddr(r.Flow.Remote)
}
