package transaction

import (
	"runtime/debug"
)

// Run is the transport layer's: it does the rest of the work for the request.
func (tx *ServerTx) Run() {
	if !tx.handled {
		tx.handle()
	}
	if tx.work != nil {
		tx.runWork()
	}
}

// handle calls the handler for a request that was admitted. Work may be left then.
func (tx *ServerTx) handle() {
	tx.handled = true
	defer func() {
		if p := recover(); p != nil {
			tx.panicked(p)
			tx.work = nil
		}
		if tx.work == nil {
			tx.done()
		}
	}()
	tx.work = tx.layer.handler.Handle(tx)
}

// runWork runs the Work that the handler left.
func (tx *ServerTx) runWork() {
	defer tx.done()
	defer func() {
		if p := recover(); p != nil {
			tx.panicked(p)
		}
	}()
	tx.work(tx.layer.workCtx)
}

func (tx *ServerTx) panicked(p any) {
	tx.layer.opt.Log.Error("panic in a request handler", "method", tx.Request.Method, "panic", p, "stack", string(debug.Stack()))
}

// done ends the serving of the request.
func (tx *ServerTx) done() {
	l := tx.layer
	defer l.handlers.Done()
	defer l.working.Add(-1)
	if tx.answered.Load() == nil {
		tx.Respond(500, "")
	}
	l.handler.Done(tx)
	if !l.transport.Alive(tx.Flow) {
		l.handler.FlowClosed(tx.Flow) // the handler may have tied something to the flow after it ended
	}
}
