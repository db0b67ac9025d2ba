package transaction

import (
	"context"
	"runtime/debug"

	"silod/sip"
)

// A Handler serves requests. All its methods but Done are called on goroutines that read
// sockets, so they must not wait.
type Handler interface {
	// AcceptSource reports whether requests over a flow are read.
	AcceptSource(sip.Flow) bool

	// Trusted reports whether the limits for connections do not apply to the peer of a flow.
	Trusted(sip.Flow) bool

	// AcceptRequest reports whether a request, which may be malformed, is answered. It is
	// called before a transaction is created.
	AcceptRequest(*sip.Request, sip.Flow) bool

	// Handle serves a request. It either sends an answer with Respond or ForwardResponse
	// and returns nil, or returns the Work that may wait. If neither Handle nor the Work
	// sends an answer, or one of them panics before, the answer is 500.
	Handle(*ServerTx) Work

	// Done is called once after Handle and the Work, also after a panic.
	Done(*ServerTx)

	// FlowClosed is called when the connection of a flow has been closed, and again after
	// Done if the flow of the request has been closed.
	FlowClosed(sip.Flow)
}

// Work is the part of serving a request that may wait: other goroutines read the socket in
// the meantime. ctx is done when Run has been told to stop and the grace time is over, or
// when a socket has failed.
type Work func(ctx context.Context)

// Run is the method of transport.Job.
func (tx *ServerTx) Run() {
	if !tx.handled {
		tx.handle()
	}
	if tx.work != nil {
		tx.runWork()
	}
}

// handle calls Handle. It ends serving the request unless there is Work.
func (tx *ServerTx) handle() {
	tx.handled = true
	defer func() {
		if p := recover(); p != nil {
			tx.logPanic(p)
			tx.work = nil
		}
		if tx.work == nil {
			tx.done()
		}
	}()
	tx.work = tx.layer.handler.Handle(tx)
}

// runWork runs the Work and ends serving the request.
func (tx *ServerTx) runWork() {
	defer tx.done()
	defer func() {
		if p := recover(); p != nil {
			tx.logPanic(p)
		}
	}()
	tx.work(tx.layer.workCtx)
}

func (tx *ServerTx) logPanic(p any) {
	tx.layer.opt.Log.Error("request handler panicked", "method", tx.Request.Method, "panic", p, "stack", string(debug.Stack()))
}

// done ends serving the request.
func (tx *ServerTx) done() {
	l := tx.layer
	defer l.working.Add(-1)
	if tx.answered.Load() == nil {
		tx.Respond(500, "")
	}
	l.handler.Done(tx)
	if !l.transport.Alive(tx.Flow) {
		l.handler.FlowClosed(tx.Flow) // the handler may have stored the flow after the first call
	}
}
