package transaction

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"silod/sip"
	"silod/sip/transport"
)

// Options are the parameters of New. Zero values stand for the defaults given.
type Options struct {
	Transport       *transport.Layer
	Log             *slog.Logger
	MaxHandlers     int           // requests served at the same time; 8,192
	MaxTransactions int           // server transactions, and also client transactions; 1,000,000
	Grace           time.Duration // for requests that are being served when Run is told to stop; 5 s
}

// A Layer is a transaction layer. New returns one, SetHandler sets its handler, Run runs it.
type Layer struct {
	opt       Options
	transport *transport.Layer
	handler   Handler
	server    *serverTable
	client    *clientTable
	newConns  chan struct{} // limits replyOnNewConn
	Stats     Stats

	working  atomic.Int64 // requests that are being served
	workCtx  context.Context
	stopWork context.CancelFunc
	draining atomic.Bool
	logLimit rate.Sometimes // for messages that are not SIP or malformed
}

// New returns a layer over a transport layer, which it runs.
func New(opt Options) *Layer {
	opt.MaxHandlers = cmp.Or(opt.MaxHandlers, 8192)
	opt.MaxTransactions = cmp.Or(opt.MaxTransactions, 1_000_000)
	opt.Grace = cmp.Or(opt.Grace, 5*time.Second)
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	l := &Layer{opt: opt, transport: opt.Transport}
	l.newConns = make(chan struct{}, maxNewConns)
	l.server = newServerTable(opt.MaxTransactions)
	l.client = newClientTable(opt.MaxTransactions, l.transport.Send)
	l.logLimit = rate.Sometimes{First: 20, Interval: time.Second}
	l.workCtx, l.stopWork = context.WithCancel(context.Background())
	return l
}

// SetHandler sets the handler of all requests. It must be called once, before Run.
func (l *Layer) SetHandler(h Handler) { l.handler = h }

// Run runs this layer and the transport layer until ctx is done or a socket fails, which is
// an error. When ctx is done, new requests are rejected, those being served have the grace
// time to end, and then the sockets are closed. Run returns when the last Work has ended.
// After that the handler is not called any more.
func (l *Layer) Run(ctx context.Context) error {
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { l.runTimers(stopped) })
	wg.Go(func() {
		select {
		case <-ctx.Done():
			l.draining.Store(true)
			l.drain(l.opt.Grace)
		case <-l.transport.Stopping(): // a socket has failed
		}
		l.stopWork()
		l.drain(finalReplyTime)
		stopReading()
	})
	err := l.transport.Run(reading, l)
	close(stopped)
	wg.Wait()
	return err
}

// finalReplyTime is the time for answers between the end of the Work's context and the
// closing of the sockets.
const finalReplyTime = time.Second

// drain waits until all requests have been served and their answers sent, but at most for
// the given time.
func (l *Layer) drain(limit time.Duration) {
	end := time.Now().Add(limit)
	for int(l.working.Load())+l.transport.Unsent() > 0 && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
}

// Draining reports whether Run has been told to stop. New requests are then rejected.
func (l *Layer) Draining() bool { return l.draining.Load() }

// runTimers runs the timers of all transactions until stopped is closed.
func (l *Layer) runTimers(stopped <-chan struct{}) {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-stopped:
			return
		case <-t.C:
		}
		l.client.tick()
		l.sendTrying()
		if n%int(time.Second/wheelTick) == 0 {
			l.server.tick()
		}
	}
}

// Transactions returns the number of server transactions, answered ones included, and of
// client transactions without a final response.
func (l *Layer) Transactions() (server, client int) {
	return l.server.len(), int(l.client.live.Load())
}

// Handlers returns the number of requests that are being served.
func (l *Layer) Handlers() int { return int(l.working.Load()) }

// PeerNames is transport.Layer.PeerNames.
func (l *Layer) PeerNames(f sip.Flow) []string { return l.transport.PeerNames(f) }

// AcceptSource is a method of transport.Receiver.
func (l *Layer) AcceptSource(f sip.Flow) bool { return l.handler.AcceptSource(f) }

// Trusted is a method of transport.Receiver.
func (l *Layer) Trusted(f sip.Flow) bool { return l.handler.Trusted(f) }

// Expects is a method of transport.Receiver.
func (l *Layer) Expects(branch []byte, f sip.Flow) bool { return l.client.expects(branch, f) }

// FlowClosed is a method of transport.Receiver. It ends the client transactions over the
// flow.
func (l *Layer) FlowClosed(f sip.Flow) {
	l.client.fail(f.Conn, transport.ErrClosed)
	l.handler.FlowClosed(f)
}
