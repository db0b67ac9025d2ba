package transaction

import (
	"context"
	"crypto/x509"
	"runtime"
	"time"

	"silod/sip"
	"silod/sip/transport"
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

// Config is what tests set of the options of both layers.
type Config struct {
	Listen                            []transport.Endpoint
	RootCAs, ClientCAs                *x509.CertPool
	MaxHandlers, SourceRate           int
	MaxConnections                    int
	StartTimeout, WriteTimeout, Grace time.Duration
}

// stack is a transaction layer over a transport layer of its own.
type stack struct {
	*Layer
	sockets *transport.Layer
	cas     *x509.CertPool // of its own certificate
	stop    func()         // ends Run and waits for that
}

func newStack(cfg Config, h Handler) *stack {
	t := transport.New(transport.Options{
		Listen: cfg.Listen, RootCAs: cfg.RootCAs, ClientCAs: cfg.ClientCAs, SourceRate: cfg.SourceRate,
		MaxConnections: cfg.MaxConnections, StartTimeout: cfg.StartTimeout, WriteTimeout: cfg.WriteTimeout,
	})
	s := &stack{Layer: New(Options{Transport: t, MaxHandlers: cfg.MaxHandlers, Grace: cfg.Grace}), sockets: t}
	s.SetHandler(h)
	return s
}

// readers is how many goroutines read a UDP socket.
var readers = max(2, runtime.NumCPU())
