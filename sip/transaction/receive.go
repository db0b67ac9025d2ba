package transaction

import (
	"errors"
	"strconv"

	"silod/sip"
	"silod/sip/transport"
)

// errTooLarge is the error of a message that is larger than we take.
var errTooLarge = error(&sip.ParseError{Status: 513, Reason: "Message Too Large", Framing: true})

// retryAfter is what a 503 asks the client to wait, in seconds: long enough for a
// burst to pass, short enough that nobody gives the message up.
const retryAfter = 5

// Receive is the transport layer's: it takes one message in, and returns the Job of a
// request for which Work is left.
func (l *Layer) Receive(raw []byte, from transport.Origin) (transport.Job, error) {
	byteStream := from.Flow.Transport.IsByteStream()
	m, err := sip.Parse(raw, byteStream)
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, l.dropNonSIP(raw, from.Flow, "Not SIP")
	}
	if errors.Is(err, sip.ErrShort) && (byteStream || len(raw) == l.transport.MaxMessageSize()) {
		err = errTooLarge // a stream is read until a body is complete, and a datagram is cut there
	}
	if m.Status != 0 {
		if err != nil {
			return nil, l.dropNonSIP(raw, from.Flow, "Bad response")
		}
		l.response(m, from.Flow)
		return nil, nil
	}
	tx, rerr := newServerTx(m, from)
	if errors.Is(rerr, sip.ErrNotSIP) {
		return nil, l.dropNonSIP(raw, from.Flow, "Request without a usable Via")
	}
	tx.layer, tx.size = l, len(raw)
	if err == nil {
		err = rerr
	}
	if bad, ok := errors.AsType[*sip.ParseError](err); ok {
		l.rejectMalformed(tx, bad)
		if bad.Framing && byteStream {
			return nil, err
		}
		return nil, nil
	}
	if !l.admit(tx) {
		return nil, nil
	}
	if from.Batch == nil {
		return tx, nil // the reader of a connection serves no request itself
	}
	tx.handle()
	tx.batch = nil
	if tx.work != nil {
		return tx, nil
	}
	return nil, nil
}

// dropNonSIP counts a message that gets no answer (RFC 3261 sections 16.3 and 18.1.2), and
// logs some of them.
func (l *Layer) dropNonSIP(raw []byte, flow sip.Flow, reason string) error {
	l.Stats.Noise.Inc()
	l.noise.Do(func() {
		l.opt.Log.Info("message ignored", "reason", reason, "transport", flow.Transport,
			"source", flow.Remote, "bytes", len(raw))
	})
	if flow.Transport.IsByteStream() {
		return sip.ErrNotSIP
	}
	return nil
}

// rejectMalformed answers a malformed request, without a transaction.
func (l *Layer) rejectMalformed(tx *ServerTx, bad *sip.ParseError) {
	if !l.handler.AcceptRequest(&tx.Request, tx.Flow) {
		return
	}
	l.Stats.Malformed.Inc()
	l.noise.Do(func() {
		l.opt.Log.Info("malformed request", "method", tx.Request.Method, "reason", bad.Reason, "source", tx.Flow.Remote)
	})
	if tx.Request.Method != "ACK" {
		tx.Stateless()
		tx.Respond(bad.Status, bad.Reason)
	}
}

// response gives a response to its client transaction. One without is dropped: we have
// nothing stateless to forward it to.
func (l *Layer) response(m *sip.Message, flow sip.Flow) {
	l.Stats.Responses.Inc()
	via, err := sip.ParseVia(m.Get("Via"))
	if err != nil || !l.client.respond(via.Branch(), flow, m) {
		l.Stats.Stray.Inc()
	}
}

// admit reports whether a request is to be served. It then counts among those that are. A
// retransmission gets the answer to its request again.
func (l *Layer) admit(tx *ServerTx) bool {
	if !l.handler.AcceptRequest(&tx.Request, tx.Flow) {
		return false
	}
	l.Stats.Requests.Inc()
	if tx.Request.Method == "ACK" {
		l.Stats.ACKs.Inc() // of our own negative answer to an INVITE; nothing to do
		return false
	}
	switch state, a := l.server.begin(tx); state {
	case txWorking:
		l.Stats.Retransmissions.Inc()
		return false
	case txDone:
		l.Stats.Retransmissions.Inc()
		tx.answered.Store(a)
		l.reply(tx)
		return false
	case txFull:
		l.rejectOverload(tx)
		return false
	case txMerged:
		l.Stats.ServerTransactions.Inc()
		tx.Respond(482, "Loop Detected, the same request is being worked on")
		return false
	case txNew:
		l.Stats.ServerTransactions.Inc()
	}
	if l.draining.Load() {
		l.rejectOverload(tx)
		return false
	}
	if l.working.Add(1) > int64(l.opt.MaxHandlers) {
		l.working.Add(-1)
		l.rejectOverload(tx)
		return false
	}
	l.handlers.Add(1)
	return true
}

// rejectOverload answers 503 and forgets the request: a retransmission is tried anew.
func (l *Layer) rejectOverload(tx *ServerTx) {
	l.Stats.Overload.Inc()
	tx.Stateless()
	tx.Respond(503, "Service Unavailable, try again soon", sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
}
