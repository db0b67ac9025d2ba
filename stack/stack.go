// Package stack is the SIP stack: sockets, flows, parsing, and the non-INVITE
// transactions of RFC 3261 sections 17 and 18. It hands requests that are well
// formed and new to one handler, sends requests over flows and brings their final
// responses. What a request means is not its business.
//
// Everything in it is bounded: handlers by a semaphore, transactions and
// connections by count, messages by size, streams by deadlines. What goes beyond
// a bound is answered 503 with Retry-After, from the received bytes.
//
// Locks: the shards of the two transaction tables, the wheel, the connection
// table and each connection's writer. None is held while another is taken, but
// for the wheel's inside a client shard's. Only a connection's writer lock is
// held across I/O, with a deadline.
package stack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"silod/mi"
	"silod/sip"
)

// Endpoint is an address to listen on.
type Endpoint struct {
	Transport sip.Transport
	Addr      netip.AddrPort // port 0: any free one
}

// A Handler serves requests. All its methods but Done are called on goroutines that read
// sockets, so they must not wait for anything.
type Handler interface {
	// AcceptSource reports whether requests from a peer are read at all.
	AcceptSource(sip.Flow) bool

	// AcceptRequest reports whether a request, which may be malformed, gets an answer. It
	// is called before anything is kept of the request.
	AcceptRequest(*sip.Request, sip.Flow) bool

	// Handle serves a request: it answers with Respond or Forward and returns nil, or it
	// returns the Work that has to wait. A request that is without an answer in the end,
	// or whose handler panics, is answered 500.
	Handle(*ServerTx) Work

	// Done is called when Handle and the Work have ended, whatever happened.
	Done(*ServerTx)

	// FlowClosed is called when a stream's flow has ended, and again when a request has
	// been served that outlived its flow.
	FlowClosed(sip.Flow)
}

// Work is the part of serving a request that may wait. It runs while other goroutines
// read the socket. ctx ends when the stack was told to stop and its grace is over.
type Work func(ctx context.Context)

// Config is what a Stack needs. Zero values stand for the defaults given.
type Config struct {
	Listen    []Endpoint
	Log       *slog.Logger
	Advertise string         // host or host:port for Via; "": the listener's address
	RootCAs   *x509.CertPool // whose certificates TLS peers that we call must have; nil: the system's
	Resolver  *net.Resolver  // nil: the system's

	// ClientCAs are whose certificates TLS clients are asked for; nil: nobody is asked.
	// One that is not theirs does not end the connection, but names nobody.
	ClientCAs *x509.CertPool

	MaxMessageSize  int           // bytes, header and body; 65,535
	MaxHandlers     int           // requests worked on at once; 8,192
	MaxTransactions int           // server, and again client, transactions remembered; 1,000,000
	SourceRate      int           // messages a second that one source may send; no limit
	MaxConnections  int           // streams open at once; 10,000
	IdleTimeout     time.Duration // of a stream that has carried a message; 2 h
	StartTimeout    time.Duration // for a stream's first message, and for the rest of any message begun; 30 s
	WriteTimeout    time.Duration // for one message to a stream; 5 s
	Grace           time.Duration // for running handlers when stopping; 5 s
}

func (c *Config) defaults() {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	defd := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxMessageSize, 65535)
	def(&c.MaxHandlers, 8192)
	def(&c.MaxTransactions, 1_000_000)
	def(&c.MaxConnections, 10_000)
	defd(&c.IdleTimeout, 2*time.Hour)
	defd(&c.StartTimeout, 30*time.Second)
	defd(&c.WriteTimeout, 5*time.Second)
	defd(&c.Grace, 5*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Stack is a running or runnable SIP stack. Make it with New, open its sockets
// with Listen, run it with Run.
type Stack struct {
	cfg         Config
	handler     Handler
	server      *serverTable
	client      *clientTable
	udp         []*udpSocket
	streams     []*streamListener
	conns       connTable
	dials       singleflight.Group
	reopening   chan struct{} // see replyAnew
	open        atomic.Int64  // connections, of any stream transport
	certificate atomic.Pointer[tls.Certificate]
	Stats       Stats

	working  atomic.Int64   // requests that are worked on
	unsent   atomic.Int64   // batches with answers that have not left
	jobs     chan *ServerTx // to a worker that waits
	idle     atomic.Int64   // workers that do
	workCtx  context.Context
	stopWork context.CancelFunc
	handlers sync.WaitGroup
	draining atomic.Bool
	limiter  *sourceLimiter
	credits  *credits
	noise    rate.Sometimes // keeps garbage from flooding the log
	localIPs localIPs
	vias     vias
	narrow   narrow

	advertised struct {
		host string
		port uint16
	}
}

// Stats count what happened since the start.
type Stats struct {
	Requests, Responses          mi.Counter // received, well formed
	Retransmissions              mi.Counter // of requests
	ACKs                         mi.Counter
	Malformed, Noise             mi.Counter // received, answered 400; not SIP
	Replies, ErrorReplies        mi.Counter // sent: all, and those from 400 up
	Limited                      mi.Counter // messages dropped because their source sent too many
	Overload                     mi.Counter // requests refused with 503 by a bound of ours
	ServerTransactions, Calls    mi.Counter // begun
	Stray                        mi.Counter // responses that belong to no call
	Connections, RefusedConnects mi.Counter // streams accepted or opened; refused by the limit
	BytesReceived, BytesSent     mi.Counter
	DroppedSends                 mi.Counter // messages that the network did not take
	HeldBack                     mi.Counter // answers that were larger than what came from where they would go
}

// New makes a stack; it opens nothing yet.
func New(cfg Config) *Stack {
	cfg.defaults()
	s := &Stack{cfg: cfg, jobs: make(chan *ServerTx)}
	s.reopening = make(chan struct{}, reopeningMax)
	s.server = newServerTable(cfg.MaxTransactions)
	s.client = newClientTable(cfg.MaxTransactions, s.write)
	s.limiter = newSourceLimiter(cfg.SourceRate)
	s.credits = &credits{seed: maphash.MakeSeed()}
	s.noise = rate.Sometimes{First: 20, Interval: time.Second}
	s.conns.init()
	s.workCtx, s.stopWork = context.WithCancel(context.Background())
	return s
}

// SetHandler names the handler of all requests. It is called once, before Run.
func (s *Stack) SetHandler(h Handler) { s.handler = h }

// Listen opens every socket, or none: an error names the one that failed.
func (s *Stack) Listen(ctx context.Context) error {
	if a := s.cfg.Advertise; a != "" {
		var err error
		if s.advertised.host, s.advertised.port, err = sip.ParseHostPort(a); err != nil {
			return fmt.Errorf("advertise %q: %w", a, err)
		}
	}
	for _, e := range s.cfg.Listen {
		var err error
		switch e.Transport {
		case sip.UDP:
			err = s.listenUDP(ctx, e.Addr)
		case sip.TCP, sip.TLS, sip.WS, sip.WSS:
			err = s.listenStream(ctx, e.Transport, e.Addr)
		default:
			err = errors.New("transport is not supported")
		}
		if err != nil {
			s.closeSockets()
			return fmt.Errorf("listen on %s:%s: %w", e.Transport, e.Addr, err)
		}
	}
	return nil
}

// Endpoints are the addresses that are listened on, ports filled in.
func (s *Stack) Endpoints() []Endpoint {
	var es []Endpoint
	for _, u := range s.udp {
		es = append(es, Endpoint{sip.UDP, u.local})
	}
	for _, l := range s.streams {
		es = append(es, Endpoint{l.transport, l.local})
	}
	return es
}

// Run serves until ctx ends: then new requests are refused, those being worked on
// have the grace time, and the sockets close. A socket that fails ends it with an
// error.
func (s *Stack) Run(ctx context.Context) error {
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, u := range s.udp {
		u.readers = g
		for range udpReaders {
			g.Go(func() error { return u.serve(newBatch(u)) })
		}
	}
	for _, l := range s.streams {
		g.Go(l.accept)
	}
	g.Go(func() error { return s.turn(gctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
			s.draining.Store(true)
			s.drain(s.cfg.Grace)
		case <-gctx.Done():
		}
		s.stopWork()
		s.drain(lastWords)
		s.closeSockets()
		return errStopped
	})
	if err := g.Wait(); !errors.Is(err, errStopped) {
		return err
	}
	s.conns.serving.Wait()
	s.handlers.Wait()
	return nil
}

var errStopped = errors.New("stopped")

// lastWords is how long handlers that were told to end may take to answer, while
// there are sockets.
const lastWords = time.Second

// drain waits for the handlers that run and for their answers to leave, but no longer
// than most.
func (s *Stack) drain(most time.Duration) {
	end := time.Now().Add(most)
	for s.working.Load()+s.unsent.Load() > 0 && time.Now().Before(end) {
		time.Sleep(10 * time.Millisecond)
	}
}

// Draining tells whether the stack was told to stop and refuses what is new.
func (s *Stack) Draining() bool { return s.draining.Load() }

func (s *Stack) closeSockets() {
	for _, u := range s.udp {
		_ = u.conn.Close()
	}
	for _, l := range s.streams {
		_ = l.ln.Close()
	}
	s.conns.closeAll()
}

// turn drives all timers.
func (s *Stack) turn(ctx context.Context) error {
	t := time.NewTicker(wheelTick)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		s.client.tick()
		if n%int(time.Second/wheelTick) == 0 {
			s.server.tick()
			for _, u := range s.udp {
				u.check()
			}
		}
	}
}

// Transactions are the numbers of server transactions remembered and of client
// transactions waiting.
func (s *Stack) Transactions() (server, client int) {
	return s.server.len(), int(s.client.live.Load())
}

// Handlers is the number of requests being worked on.
func (s *Stack) Handlers() int { return int(s.working.Load()) }

// Send sends a request over a flow with a Via of ours on top, as a client
// transaction. Its one Result goes to results, which must have room for it. An
// error means that nothing was sent and no Result will come. recipient is the
// canonical address to which the request is sent on: if the request comes back to us
// for it, Looped reports that. The zero AoR is for a request that ends at its receiver.
func (s *Stack) Send(m *sip.Message, recipient sip.AoR, flow sip.Flow, results chan<- Result) (*Call, error) {
	c := &Call{Flow: flow, branch: newBranch(recipient), results: results, table: s.client}
	raw := m.AppendWithVia(make([]byte, 0, m.Size()), s.viaFor(flow)+";branch="+c.branch+";rport")
	s.Stats.Calls.Inc()
	if err := s.client.start(c, raw); err != nil {
		return nil, err
	}
	return c, nil
}

// write brings bytes onto a flow.
func (s *Stack) write(f sip.Flow, b []byte) error {
	var err error
	if f.Transport == sip.UDP {
		err = s.writeUDP(f, b)
	} else {
		err = s.writeStream(f, b)
	}
	if err != nil {
		s.Stats.DroppedSends.Inc()
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	s.Stats.BytesSent.Add(len(b))
	return nil
}
