// Package transaction is the transaction layer of SIP: non-INVITE server and client
// transactions (RFC 3261 section 17) over package transport. It hands requests that are
// well formed and new to one Handler, sends requests over flows and returns their final
// responses. It knows nothing of the meaning of requests.
//
// Everything in it is bounded: requests that are served, and transactions that are
// remembered. A request beyond a bound is answered 503 with Retry-After, from the received
// bytes.
//
// Locks: the shards of the two tables, and the timer wheel. None is held while another is
// taken, except the wheel's inside a client shard's. None is held across I/O.
package transaction

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"silod/sip"
	"silod/sip/transport"
)

// A Handler serves requests. All its methods but Done are called on goroutines that read
// sockets, so they must not wait for anything.
type Handler interface {
	// AcceptSource reports whether requests from a peer are read at all.
	AcceptSource(sip.Flow) bool

	// AcceptRequest reports whether a request, which may be malformed, gets an answer. It
	// is called before anything is kept of the request.
	AcceptRequest(*sip.Request, sip.Flow) bool

	// Handle serves a request: it answers with Respond or ForwardResponse and returns
	// nil, or it returns the Work that has to wait. A request that is without an answer
	// in the end, or whose handler panics, is answered 500.
	Handle(*ServerTx) Work

	// Done is called when Handle and the Work have ended, whatever happened.
	Done(*ServerTx)

	// FlowClosed is called when a stream's flow has ended, and again when a request has
	// been served that outlived its flow.
	FlowClosed(sip.Flow)
}

// Work is the part of serving a request that may wait. It runs while other goroutines
// read the socket. ctx ends when the layer was told to stop and its grace is over.
type Work func(ctx context.Context)

// Options are given to New. Zero values stand for the defaults given.
type Options struct {
	Transport       *transport.Layer
	Log             *slog.Logger
	MaxHandlers     int           // requests served at once; 8,192
	MaxTransactions int           // server, and again client, transactions remembered; 1,000,000
	Grace           time.Duration // for requests that are served when stopping; 5 s
}

// A Layer is a transaction layer. Make it with New, give it its handler with SetHandler,
// run it with Run.
type Layer struct {
	opt       Options
	transport *transport.Layer
	handler   Handler
	server    *serverTable
	client    *clientTable
	newConns  chan struct{} // see replyOnNewConn
	Stats     Stats

	working  atomic.Int64 // requests that are served
	workCtx  context.Context
	stopWork context.CancelFunc
	handlers sync.WaitGroup
	draining atomic.Bool
	noise    rate.Sometimes // keeps garbage from flooding the log
}

// New returns a layer over a transport layer that nothing else runs.
func New(opt Options) *Layer {
	if opt.MaxHandlers == 0 {
		opt.MaxHandlers = 8192
	}
	if opt.MaxTransactions == 0 {
		opt.MaxTransactions = 1_000_000
	}
	if opt.Grace == 0 {
		opt.Grace = 5 * time.Second
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	l := &Layer{opt: opt, transport: opt.Transport}
	l.newConns = make(chan struct{}, maxNewConns)
	l.server = newServerTable(opt.MaxTransactions)
	l.client = newClientTable(opt.MaxTransactions, l.transport.Send)
	l.noise = rate.Sometimes{First: 20, Interval: time.Second}
	l.workCtx, l.stopWork = context.WithCancel(context.Background())
	return l
}

// SetHandler names the handler of all requests. It is called once, before Run.
func (l *Layer) SetHandler(h Handler) { l.handler = h }

// Run serves, and runs the transport layer, until ctx ends: then new requests are refused,
// those that are served have the grace time, and the sockets close. A socket that fails
// ends it with an error.
func (l *Layer) Run(ctx context.Context) error {
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	g.Go(func() error {
		err := l.transport.Run(reading, l)
		if err == nil {
			err = errStopped
		}
		return err
	})
	g.Go(func() error { return l.runTimers(gctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			l.draining.Store(true)
			l.drain(l.opt.Grace)
		case <-gctx.Done():
		}
		l.stopWork()
		l.drain(finalReplyTime)
		stopReading()
		return nil
	})
	if err := g.Wait(); !errors.Is(err, errStopped) {
		return err
	}
	l.handlers.Wait()
	return nil
}

var errStopped = errors.New("stopped")

// finalReplyTime is how long Work that was told to end may take to answer, while there are
// sockets.
const finalReplyTime = time.Second

// drain waits until all requests are served and their answers have left, but no longer
// than limit.
func (l *Layer) drain(limit time.Duration) {
	end := time.Now().Add(limit)
	for int(l.working.Load())+l.transport.Unsent() > 0 && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
}

// Draining reports whether the layer was told to stop and refuses new requests.
func (l *Layer) Draining() bool { return l.draining.Load() }

// runTimers drives the timers of all transactions.
func (l *Layer) runTimers(ctx context.Context) error {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		l.client.tick()
		if n%int(time.Second/wheelTick) == 0 {
			l.server.tick()
		}
	}
}

// Transactions returns the numbers of server transactions that are remembered, and of
// client transactions that wait for their response.
func (l *Layer) Transactions() (server, client int) {
	return l.server.len(), int(l.client.live.Load())
}

// Handlers returns the number of requests that are being served.
func (l *Layer) Handlers() int { return int(l.working.Load()) }

// PeerNames returns the names in the certificate of a TLS peer, see transport.Layer.
func (l *Layer) PeerNames(f sip.Flow) []string { return l.transport.PeerNames(f) }

// FlowClosed is the transport layer's: it fails the client transactions over a flow.
func (l *Layer) FlowClosed(f sip.Flow) {
	l.client.fail(f, transport.ErrClosed)
	l.handler.FlowClosed(f)
}

// AcceptSource is the transport layer's.
func (l *Layer) AcceptSource(f sip.Flow) bool { return l.handler.AcceptSource(f) }
