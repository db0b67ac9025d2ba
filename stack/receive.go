package stack

import (
	"bytes"
	"errors"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"silod/sip"
)

// errLong is the error of a message that is larger than we take.
var errLong = error(&sip.ParseError{Status: 513, Reason: "Message Too Large", Framing: true})

// retryAfter is what a 503 asks the client to wait, in seconds: long enough for a
// burst to pass, short enough that nobody gives the message up.
const retryAfter = 5

// receive takes one message off a flow. It gives the request that a handler is to be
// run for, if any, and an error only where a stream cannot be read on. b is the batch
// that the message came with, if it did.
func (s *Stack) receive(raw []byte, flow sip.Flow, b *batch) (*ServerTx, error) {
	s.Stats.BytesReceived.Add(len(raw))
	now := time.Now()
	if !s.limiter.allow(flow.Remote.Addr(), now) {
		s.Stats.Limited.Inc()
		return nil, nil // an answer to a flood is a flood
	}
	if !s.handler.AcceptSource(flow) && !isResponse(raw) {
		return nil, nil
	}
	m, err := sip.Parse(raw, flow.Transport.IsByteStream())
	if errors.Is(err, sip.ErrNotSIP) {
		return nil, s.ignore(raw, flow, "Not SIP")
	}
	if errors.Is(err, sip.ErrShort) && (flow.Transport.IsByteStream() || len(raw) == s.cfg.MaxMessageSize) {
		err = errLong // a stream's reader waits for all else, and a datagram's cuts it here
	}
	if m.Status != 0 {
		if err != nil {
			return nil, s.ignore(raw, flow, "Bad response")
		}
		s.response(m, flow)
		return nil, nil
	}
	req, rerr := newServerTx(m, flow)
	if errors.Is(rerr, sip.ErrNotSIP) {
		return nil, s.ignore(raw, flow, "Request without a usable Via")
	}
	req.Received, req.stack, req.size, req.batch = now, s, len(raw), b
	if err == nil {
		err = rerr
	}
	if bad, ok := errors.AsType[*sip.ParseError](err); ok {
		s.refuse(req, bad)
		if bad.Framing && flow.Transport.IsByteStream() {
			return nil, err
		}
		return nil, nil
	}
	if !s.admit(req) {
		return nil, nil
	}
	return req, nil
}

// ignore counts what gets no answer (RFC 3261 section 16.3, 18.1.2) and logs a
// little of it.
func (s *Stack) ignore(raw []byte, flow sip.Flow, why string) error {
	s.Stats.Noise.Inc()
	s.noise.Do(func() {
		s.cfg.Log.Info("ignored what is not for us", "reason", why, "transport", flow.Transport,
			"source", flow.Remote, "bytes", len(raw))
	})
	if flow.Transport.IsByteStream() {
		return sip.ErrNotSIP
	}
	return nil
}

// refuse answers a malformed request, without a transaction.
func (s *Stack) refuse(req *ServerTx, bad *sip.ParseError) {
	if !s.handler.AcceptRequest(&req.Request, req.Flow) {
		return
	}
	s.Stats.Malformed.Inc()
	s.noise.Do(func() {
		s.cfg.Log.Info("malformed request", "method", req.Request.Method, "reason", bad.Reason, "source", req.Flow.Remote)
	})
	if req.Request.Method != "ACK" {
		req.Stateless()
		req.Respond(bad.Status, bad.Reason)
	}
}

// response brings a response to its call; one that belongs to none is dropped
// (we have nothing stateless to forward it to).
func (s *Stack) response(m *sip.Message, flow sip.Flow) {
	s.Stats.Responses.Inc()
	via, err := sip.ParseVia(m.Get("Via"))
	if err != nil || !s.client.respond(via.Branch(), flow, m) {
		s.Stats.Stray.Inc()
	}
}

// admit tells whether a handler is to be run for a request; the place that it takes
// among those that are worked on is then counted. It repeats the answer to an old one.
func (s *Stack) admit(req *ServerTx) bool {
	if !s.handler.AcceptRequest(&req.Request, req.Flow) {
		return false
	}
	s.Stats.Requests.Inc()
	if req.Request.Method == "ACK" {
		s.Stats.ACKs.Inc() // of our own negative answer to an INVITE; nothing to do
		return false
	}
	switch state, a := s.server.begin(req); state {
	case txWorking:
		s.Stats.Retransmissions.Inc()
		return false
	case txDone:
		s.Stats.Retransmissions.Inc()
		s.reply(req, a)
		return false
	case txFull:
		s.overload(req)
		return false
	case txMerged:
		s.Stats.ServerTransactions.Inc()
		req.Respond(482, "Loop Detected, the same request is being worked on")
		return false
	case txNew:
		s.Stats.ServerTransactions.Inc()
	}
	if s.draining.Load() {
		s.overload(req)
		return false
	}
	if s.working.Add(1) > int64(s.cfg.MaxHandlers) {
		s.working.Add(-1)
		s.overload(req)
		return false
	}
	s.handlers.Add(1)
	return true
}

// handle runs the handler for a request that was admitted. It returns the work that is
// left, for which runWork must be called.
func (s *Stack) handle(tx *ServerTx) (work Work) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(tx, p)
			work = nil
		}
		if work == nil {
			s.done(tx)
		}
	}()
	return s.handler.Handle(tx)
}

// runWork runs the part of a handler that may wait.
func (s *Stack) runWork(tx *ServerTx, work Work) {
	defer s.done(tx)
	defer func() {
		if p := recover(); p != nil {
			s.panicked(tx, p)
		}
	}()
	work(s.workCtx)
}

func (s *Stack) panicked(tx *ServerTx, p any) {
	s.cfg.Log.Error("panic in a request handler", "method", tx.Request.Method, "panic", p, "stack", string(debug.Stack()))
}

// done ends the handling of a request.
func (s *Stack) done(tx *ServerTx) {
	defer s.handlers.Done()
	defer s.working.Add(-1)
	if tx.answered.Load() == nil {
		tx.Respond(500, "")
	}
	s.handler.Done(tx)
	if !s.Alive(tx.Flow) {
		s.handler.FlowClosed(tx.Flow) // the handler may have tied something to the flow after it ended
	}
}

// overload answers 503 and forgets the request: a retransmission is tried anew.
func (s *Stack) overload(req *ServerTx) {
	s.Stats.Overload.Inc()
	req.Stateless()
	req.Respond(503, "Service Unavailable, try again soon", sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
}

// Unavailable answers 503 with Retry-After, one's own or the usual one, and lets a
// retransmission be tried anew: for when the store is down, which may pass before the
// client gives up.
func (tx *ServerTx) Unavailable(reason string, more ...sip.Header) {
	tx.forget()
	if !slices.ContainsFunc(more, func(h sip.Header) bool { return h.Name == "Retry-After" }) {
		more = append(more, sip.Header{Name: "Retry-After", Value: strconv.Itoa(retryAfter)})
	}
	tx.Respond(503, reason, more...)
}

// buffers are for messages that nobody keeps once they are sent.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// keptBuffer is how large a buffer may have grown to be used again, in bytes.
const keptBuffer = 64 << 10

// reply sends an answer to where RFC 3261 section 18.2.2 wants it.
func (s *Stack) reply(req *ServerTx, a *answer) {
	s.Stats.Replies.Inc()
	if a.status >= 400 {
		s.Stats.ErrorReplies.Inc()
	}
	if req.batch != nil {
		req.batch.reply(req, a)
		return
	}
	b := buffers.Get().(*[]byte)
	*b = a.appendTo((*b)[:0], req)
	flow := req.Flow
	flow.Remote = req.replyTo()
	if err := s.write(flow, *b); errors.Is(err, ErrClosed) && flow.Transport.IsByteStream() {
		s.replyAnew(req, bytes.Clone(*b))
	} // else, what cannot be sent is the client's to ask for again
	if cap(*b) <= keptBuffer {
		buffers.Put(b)
	}
}
