// Package transport is the transport layer of SIP: sockets, flows, TLS and WebSocket,
// keep-alives, STUN, and the way from a URI to an address (RFC 3261 section 18, RFC 3263,
// RFC 5626, RFC 7118). It hands every message that comes in to a Receiver, and knows
// nothing of transactions or of the meaning of requests.
//
// Everything in it is bounded: connections by count, messages by size, streams by
// deadlines, the messages of a source by a rate, and the bytes that are sent to an
// address that may be forged by those that came from it.
//
// Locks: the connection table, each connection's writer, and those of the small caches of
// local addresses. None is held while another is taken. Only a connection's writer lock
// is held across I/O, with a deadline.
package transport

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
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"silod/sip"
)

// A Receiver takes the messages that come in. Its methods are called on goroutines that
// read sockets, so they must not wait for anything.
type Receiver interface {
	// AcceptSource reports whether requests and STUN from a peer are read at all.
	// Responses always are.
	AcceptSource(sip.Flow) bool

	// Receive takes one message, which is valid until it returns. It returns the Job that
	// is left, nil for none, and an error if the stream that the message came over cannot
	// be read on.
	Receive(raw []byte, from Origin) (Job, error)

	// FlowClosed is called when the connection of a flow has closed.
	FlowClosed(sip.Flow)
}

// A Job is the rest of the work for a message. Its Run may wait; the socket is read on
// meanwhile.
type Job interface{ Run() }

// Errors of sending.
var (
	ErrTransport = errors.New("cannot be sent")
	ErrBusy      = errors.New("too many connections")
	ErrClosed    = errors.New("connection closed")
)

// An Endpoint is an address to listen on.
type Endpoint struct {
	Transport sip.Transport
	Addr      netip.AddrPort // port 0: any free one
}

// Options are given to New. Zero values stand for the defaults given.
type Options struct {
	Listen    []Endpoint
	Log       *slog.Logger
	Advertise string         // host or host:port for Via; "": the listener's address
	RootCAs   *x509.CertPool // authorities for the certificates of TLS servers that we connect to; nil: the system's
	Resolver  *net.Resolver  // nil: the system's

	// ClientCAs are the authorities for certificates of TLS clients; nil: none is asked
	// for. A certificate of another authority does not end the connection, but names
	// no peer.
	ClientCAs *x509.CertPool

	MaxMessageSize int           // bytes, header and body; 65,535
	SourceRate     int           // messages a second that one source may send; no limit
	MaxConnections int           // streams open at once; 10,000
	IdleTimeout    time.Duration // of a stream that has carried a message; 2 h
	StartTimeout   time.Duration // for a stream's first message, and for the rest of any message begun; 30 s
	WriteTimeout   time.Duration // for one message to a stream; 5 s
}

func (o *Options) defaults() {
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
	def(&o.MaxMessageSize, 65535)
	def(&o.MaxConnections, 10_000)
	defd(&o.IdleTimeout, 2*time.Hour)
	defd(&o.StartTimeout, 30*time.Second)
	defd(&o.WriteTimeout, 5*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// A Layer is a transport layer. Make it with New, open its sockets with Listen, run it
// with Run.
type Layer struct {
	opt         Options
	receiver    Receiver
	udp         []*udpSocket
	streams     []*streamListener
	conns       connTable
	dials       singleflight.Group
	open        atomic.Int64 // connections, of any stream transport
	certificate atomic.Pointer[tls.Certificate]
	Stats       Stats

	unsent  atomic.Int64 // batches with answers that have not left
	jobs    chan Job     // to a worker that waits
	idle    atomic.Int64 // workers that do
	running context.Context
	stop    context.CancelFunc

	limiter  *packetLimiter
	credits  *credits
	noise    rate.Sometimes // keeps failures of accepting from flooding the log
	localIPs localIPs
	vias     vias
	udpOnly  udpOnlyPeers

	advertised struct {
		host string
		port uint16
	}
}

// New returns a layer that has opened nothing yet.
func New(opt Options) *Layer {
	opt.defaults()
	l := &Layer{opt: opt, jobs: make(chan Job)}
	l.limiter = newPacketLimiter(opt.SourceRate)
	l.credits = &credits{seed: maphash.MakeSeed()}
	l.noise = rate.Sometimes{First: 20, Interval: time.Second}
	l.conns.init()
	l.running, l.stop = context.WithCancel(context.Background())
	return l
}

// MaxMessageSize returns the largest size in bytes of a message that is read whole. A
// datagram is cut there.
func (l *Layer) MaxMessageSize() int { return l.opt.MaxMessageSize }

// Listen opens every socket, or none: an error names the one that failed.
func (l *Layer) Listen(ctx context.Context) error {
	if a := l.opt.Advertise; a != "" {
		var err error
		if l.advertised.host, l.advertised.port, err = sip.ParseHostPort(a); err != nil {
			return fmt.Errorf("advertise %q: %w", a, err)
		}
	}
	for _, e := range l.opt.Listen {
		var err error
		switch e.Transport {
		case sip.UDP:
			err = l.listenUDP(ctx, e.Addr)
		case sip.TCP, sip.TLS, sip.WS, sip.WSS:
			err = l.listenStream(ctx, e.Transport, e.Addr)
		default:
			err = errors.New("transport is not supported")
		}
		if err != nil {
			l.closeSockets()
			return fmt.Errorf("listen on %s:%s: %w", e.Transport, e.Addr, err)
		}
	}
	return nil
}

// Endpoints returns the addresses that are listened on, ports filled in.
func (l *Layer) Endpoints() []Endpoint {
	var es []Endpoint
	for _, u := range l.udp {
		es = append(es, Endpoint{sip.UDP, u.local})
	}
	for _, s := range l.streams {
		es = append(es, Endpoint{s.transport, s.local})
	}
	return es
}

// Run reads all sockets until ctx ends, then closes them and waits for the jobs that run.
// A socket that fails ends it with an error.
func (l *Layer) Run(ctx context.Context, r Receiver) error {
	l.receiver = r
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, u := range l.udp {
		u.readers = g
		for range udpReaders {
			g.Go(func() error { return u.serve(newBatch(u)) })
		}
	}
	for _, s := range l.streams {
		g.Go(s.accept)
	}
	g.Go(func() error { return l.watchReaders(gctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-gctx.Done():
		}
		l.stop()
		l.closeSockets()
		return errStopped
	})
	if err := g.Wait(); !errors.Is(err, errStopped) {
		return err
	}
	l.conns.serving.Wait()
	return nil
}

var errStopped = errors.New("stopped")

// watchReaders checks once a second that the UDP sockets are read.
func (l *Layer) watchReaders(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		for _, u := range l.udp {
			u.check()
		}
	}
}

func (l *Layer) closeSockets() {
	for _, u := range l.udp {
		_ = u.conn.Close()
	}
	for _, s := range l.streams {
		_ = s.ln.Close()
	}
	l.conns.closeAll()
}

// accepts reports whether a message from a flow is read. It takes one of its source's
// tokens.
func (l *Layer) accepts(raw []byte, f sip.Flow) bool {
	l.Stats.BytesReceived.Add(len(raw))
	if !l.limiter.allow(f.Remote.Addr(), time.Now()) {
		l.Stats.Limited.Inc()
		return false // an answer to a flood is a flood
	}
	return l.receiver.AcceptSource(f) || isResponse(raw)
}

// Send writes a message to a flow. The error wraps ErrTransport, and ErrClosed where the
// flow's connection has closed.
func (l *Layer) Send(f sip.Flow, b []byte) error {
	var err error
	if f.Transport == sip.UDP {
		err = l.writeUDP(f, b)
	} else {
		err = l.writeStream(f, b)
	}
	if err != nil {
		l.Stats.DroppedSends.Inc()
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	l.Stats.BytesSent.Add(len(b))
	return nil
}

// Covers reports whether a datagram of out bytes may be sent to an address that may be
// forged, in answer to one of in bytes from there.
func (l *Layer) Covers(a netip.Addr, in, out int) bool {
	if l.credits.allow(a, in, out) {
		return true
	}
	l.Stats.HeldBack.Inc()
	return false
}

// Open returns the number of connections that count against MaxConnections, those included
// whose TLS handshake or WebSocket upgrade is not complete.
func (l *Layer) Open() int { return int(l.open.Load()) }

// Unsent returns the number of batches with answers that have not left yet.
func (l *Layer) Unsent() int { return int(l.unsent.Load()) }
