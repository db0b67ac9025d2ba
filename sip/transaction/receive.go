package transaction

import (
	"errors"
	"strconv"

	"silod/sip"
	"silod/sip/transport"
)

// errTooLarge is the error for a message above transport.Options.MaxMessageSize.
var errTooLarge = error(&sip.ParseError{Status: 513, Reason: "Message Too Large", Framing: true})

// retryAfter is the Retry-After of a 503, in seconds: longer than most bursts, shorter than
// the time after which clients discard a message.
const retryAfter = 5

// Receive is a method of transport.Receiver. The Job is the ServerTx of a request that has
// not been handled, or for which there is Work.
func (l *Layer) Receive(raw []byte, from transport.Origin) (transport.Job, error) {
	byteStream := from.Flow.Transport.IsByteStream()
	m, err := sip.Parse(raw, byteStream)
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, l.dropNonSIP(raw, from.Flow, "Not SIP")
	}
	if errors.Is(err, sip.ErrShort) && (byteStream || len(raw) == l.transport.MaxMessageSize()) {
		err = errTooLarge // the transport layer reads bodies completely, and truncates large datagrams only
	}
	if m.Status != 0 {
		if err != nil {
			return nil, l.dropNonSIP(raw, from.Flow, "Bad response")
		}
		l.receiveResponse(m, from.Flow)
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
		return tx, nil // a connection has one reader, which must not be blocked by a long Handle
	}
	tx.handle()
	tx.batch = nil // after this call it belongs to another goroutine
	if tx.work != nil {
		return tx, nil
	}
	return nil, nil
}

// dropNonSIP counts a message that is not answered (RFC 3261 sections 16.3 and 18.1.2), and
// logs some of them.
func (l *Layer) dropNonSIP(raw []byte, flow sip.Flow, reason string) error {
	l.Stats.NotSIP.Inc()
	l.logLimit.Do(func() {
		l.opt.Log.Info("message ignored", "reason", reason, "transport", flow.Transport,
			"source", flow.Remote, "bytes", len(raw))
	})
	if flow.Transport.IsByteStream() {
		return sip.ErrNotSIP
	}
	return nil
}

// rejectMalformed answers a malformed request without a transaction.
func (l *Layer) rejectMalformed(tx *ServerTx, bad *sip.ParseError) {
	if !l.handler.AcceptRequest(&tx.Request, tx.Flow) {
		return
	}
	l.Stats.Malformed.Inc()
	l.logLimit.Do(func() {
		l.opt.Log.Info("malformed request", "method", tx.Request.Method, "reason", bad.Reason, "source", tx.Flow.Remote)
	})
	if tx.Request.Method != "ACK" {
		tx.Stateless()
		tx.Respond(bad.Status, bad.Reason)
	}
}

// receiveResponse passes a response to its client transaction. A response without one is
// dropped: no request is forwarded statelessly.
func (l *Layer) receiveResponse(m *sip.Message, flow sip.Flow) {
	l.Stats.Responses.Inc()
	via, err := sip.ParseVia(m.Get("Via"))
	if err != nil || !l.client.receive(via.Branch(), flow, m) {
		l.Stats.Stray.Inc()
	}
}

// admit reports whether a request is to be served, and counts it in working if so.
// Otherwise it has answered the request if an answer is due.
func (l *Layer) admit(tx *ServerTx) bool {
	if !l.handler.AcceptRequest(&tx.Request, tx.Flow) {
		return false
	}
	l.Stats.Requests.Inc()
	if tx.Request.Method == "ACK" {
		l.Stats.ACKs.Inc() // for a negative answer to an INVITE
		return false
	}
	switch state, a := l.server.begin(tx); state {
	case txInProgress:
		l.Stats.Retransmissions.Inc()
		return false
	case txAnswered:
		l.Stats.Retransmissions.Inc()
		tx.answered.Store(a)
		if a.mayRepeat(tx) {
			l.reply(tx)
		}
		return false
	case txTableFull:
		l.rejectOverload(tx)
		return false
	case txMerged:
		l.Stats.ServerTransactions.Inc()
		tx.Unproven()
		tx.Respond(482, "Loop Detected, the same request is being worked on")
		return false
	case txNew:
		l.Stats.ServerTransactions.Inc()
	}
	// Counted before draining is read, so that drain does not miss a request.
	if l.working.Add(1) > int64(l.opt.MaxHandlers) || l.draining.Load() {
		l.working.Add(-1)
		l.rejectOverload(tx)
		return false
	}
	return true
}

// rejectOverload answers 503 and forgets the request: a retransmission is a new request.
func (l *Layer) rejectOverload(tx *ServerTx) {
	l.Stats.Overload.Inc()
	tx.Stateless()
	tx.Respond(503, "Service Unavailable, try again soon", sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
}
