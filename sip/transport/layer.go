package transport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// Errors of Send and Connect.
var (
	ErrTransport = errors.New("transport error")
	ErrBusy      = errors.New("too many connections")
	ErrClosed    = errors.New("connection closed")
)

// A Layer is a transport layer. New returns one, Listen opens its sockets, Run reads them.
type Layer struct {
	opt          Options
	receiver     Receiver      // set before started is closed
	started      chan struct{} // closed by Run
	udp          []*udpSocket
	listeners    []*streamListener
	conns        connTable
	dials        singleflight.Group
	lookups      singleflight.Group
	resolved     recent[query, []Target]
	roster       *roster
	dialing      atomic.Int64 // calls of dial
	certificates atomic.Pointer[certificates]
	proxies      atomic.Pointer[[]netip.Prefix]
	Stats        Stats

	unsent  atomic.Int64 // batches with answers that have not been sent
	jobs    chan Job     // to an idle worker
	workers sync.WaitGroup
	idle    atomic.Int64 // idle workers, and goroutines that wait for a batch
	running context.Context
	stop    context.CancelFunc

	datagrams  *packetLimiter
	streams    *packetLimiter
	connLimits connLimits
	credits    *credits
	logLimit   rate.Sometimes // for errors of listening sockets
	localIPs   localIPs
	vias       vias
	udpOnly    recent[netip.AddrPort, struct{}] // peers that did not accept a TCP connection
	silent     recent[silentTarget, struct{}]

	advertised struct {
		host string
		port uint16
	}
}

// New returns a layer without sockets.
func New(opt Options) *Layer {
	opt.setDefaults()
	l := &Layer{opt: opt, started: make(chan struct{}), jobs: make(chan Job)}
	l.datagrams, l.streams = newPacketLimiter(0), newPacketLimiter(0)
	l.credits = newCredits()
	l.roster = newRoster(opt.MaxConnections)
	l.connLimits.connects = limit.NewMeter[limit.Network](maxMeters, limit.EvictLeast)
	l.connLimits.handshakes = limit.NewMeter[limit.Network](maxMeters, limit.EvictLeast)
	l.setLimits(Limits{})
	l.logLimit = rate.Sometimes{First: 20, Interval: time.Minute}
	l.udpOnly.limit, l.silent.limit = maxUDPOnly, maxSilent
	l.conns.init()
	l.running, l.stop = context.WithCancel(context.Background())
	return l
}

// MaxMessageSize returns the maximum size in bytes of a message. A larger datagram is
// truncated to that size.
func (l *Layer) MaxMessageSize() int { return l.opt.MaxMessageSize }

// Listen opens all sockets. If one cannot be opened, it closes the others and returns an
// error that names its address.
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
			err = errors.New("unsupported transport")
		}
		if err != nil {
			l.closeSockets()
			return fmt.Errorf("listen on %s:%s: %w", e.Transport, e.Addr, err)
		}
	}
	return nil
}

// Endpoints returns the addresses of the open sockets, with their ports.
func (l *Layer) Endpoints() []Endpoint {
	var es []Endpoint
	for _, u := range l.udp {
		es = append(es, Endpoint{sip.UDP, u.local})
	}
	for _, s := range l.listeners {
		es = append(es, Endpoint{s.transport, s.local})
	}
	return es
}

// Run reads all sockets until ctx is done or one of them fails, which is an error. Then it
// closes them and returns when all connections are closed and all jobs have ended. After
// that it makes no more calls to r.
func (l *Layer) Run(ctx context.Context, r Receiver) error {
	l.receiver = r
	close(l.started)
	g, gctx := errgroup.WithContext(context.WithoutCancel(ctx))
	for _, u := range l.udp {
		u.readers = g
		for range udpReaders {
			g.Go(func() error { return u.serve(newBatch(u)) })
		}
	}
	for _, s := range l.listeners {
		g.Go(s.accept)
	}
	g.Go(func() error { return l.watch(gctx) })
	g.Go(func() error {
		select {
		case <-ctx.Done():
		case <-gctx.Done():
		}
		l.stop()
		l.closeSockets()
		return errStopped
	})
	err := g.Wait()
	l.conns.serving.Wait()
	l.workers.Wait() // only connections start them
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

var errStopped = errors.New("stopped")

// Stopping returns a channel that is closed when Run starts to close the sockets: because
// its context is done, or because a socket has failed.
func (l *Layer) Stopping() <-chan struct{} { return l.running.Done() }

// watch checks every second that each UDP socket is read, and closes connections that have been
// strangers' for too long.
func (l *Layer) watch(ctx context.Context) error {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		for _, u := range l.udp {
			u.checkReaders()
		}
		l.expireStrangers()
	}
}

func (l *Layer) closeSockets() {
	for _, u := range l.udp {
		_ = u.conn.Close()
	}
	for _, s := range l.listeners {
		_ = s.ln.Close()
	}
	l.conns.closeAll()
}

// Send sends a message over a flow. The error wraps ErrTransport, and also ErrClosed if
// the flow's connection is closed. If the system lacks memory for a datagram, Send returns
// nil: the datagram is lost as it could be in the network, and the transaction repeats it.
func (l *Layer) Send(f sip.Flow, b []byte) error {
	var err error
	if f.Transport == sip.UDP {
		err = l.sendUDP(f, b)
	} else {
		err = l.sendStream(f, b)
	}
	if err != nil {
		l.Stats.DroppedSends.Inc()
		if f.Transport == sip.UDP && mi.LacksResources(err) {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrTransport, err)
	}
	l.Stats.BytesSent.Add(len(b))
	return nil
}

// Covers reports whether out bytes may be sent in answer to in bytes from a source address
// that may be forged. If it returns true, the bytes count as sent.
func (l *Layer) Covers(a netip.Addr, in, out int) bool {
	return l.credits.allow(a, in, out, time.Now())
}

// HoldBack notes that in bytes from a source are not answered because of Covers.
func (l *Layer) HoldBack(a netip.Addr, in int) {
	l.Stats.HeldBack.Inc()
	l.credits.earn(a, in)
}

// Alive reports whether messages can be sent over a flow: over UDP always, over a stream
// until its connection is closed.
func (l *Layer) Alive(f sip.Flow) bool {
	return f.Transport == sip.UDP || l.conns.get(f) != nil
}

// Connections returns the number of established connections.
func (l *Layer) Connections() int { return l.conns.len() }

// Open returns the number of connections that count against MaxConnections. It includes
// those whose TLS handshake or WebSocket upgrade is not complete.
func (l *Layer) Open() int {
	open, _ := l.roster.count()
	return open
}

// Unsent returns the number of batches with answers that have not been sent.
func (l *Layer) Unsent() int { return int(l.unsent.Load()) }
