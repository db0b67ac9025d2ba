package stack

import (
	"context"

	"silod/sip"
)

// handler is a Handler of functions. Those that are nil accept and do nothing.
type handler struct {
	handle func(*ServerTx)
	work   func(*ServerTx) Work // called after handle
	hear   func(sip.Flow) bool
	screen func(*sip.Request, sip.Flow) bool
	closed func(sip.Flow)
}

func (h handler) AcceptSource(f sip.Flow) bool { return h.hear == nil || h.hear(f) }

func (h handler) AcceptRequest(r *sip.Request, f sip.Flow) bool {
	return h.screen == nil || h.screen(r, f)
}

func (h handler) Handle(tx *ServerTx) Work {
	if h.handle != nil {
		h.handle(tx)
	}
	if h.work != nil {
		return h.work(tx)
	}
	return nil
}

func (h handler) Done(*ServerTx) {}

func (h handler) FlowClosed(f sip.Flow) {
	if h.closed != nil {
		h.closed(f)
	}
}

// serve returns a handler that answers at once.
func serve(f func(*ServerTx)) Handler { return handler{handle: f} }

// waiting returns a handler that serves every request with Work.
func waiting(f func(*ServerTx)) Handler {
	return handler{work: func(tx *ServerTx) Work { return func(context.Context) { f(tx) } }}
}

func newStack(cfg Config, h Handler) *Stack {
	s := New(cfg)
	s.SetHandler(h)
	return s
}
