package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"silod/sip"
)

// connect finds the connection that we have to a target, or opens one: one, however
// many ask for it at the same time.
func (l *Layer) connect(ctx context.Context, t Target) (sip.Flow, error) {
	key := t.dialKey()
	if c := l.conns.opened(key); c != nil {
		return c.flow, nil
	}
	opening := l.dials.DoChan(string(key), func() (any, error) { return l.connectNew(t) })
	select {
	case r := <-opening:
		if r.Err != nil {
			return sip.Flow{}, r.Err
		}
		return r.Val.(*conn).flow, nil
	case <-ctx.Done():
		return sip.Flow{}, ctx.Err()
	}
}

// connectNew opens a connection, within the layer's own bounds of time: those that
// wait for it may not all have the same patience.
func (l *Layer) connectNew(t Target) (*conn, error) {
	key := t.dialKey()
	if c := l.conns.opened(key); c != nil {
		return c, nil
	}
	nc, err := l.dial(l.running, t)
	if err != nil {
		return nil, err
	}
	local := unmap(nc.LocalAddr().(*net.TCPAddr).AddrPort())
	c := l.adopt(&bytePipe{nc: nc}, sip.Flow{Transport: t.Transport, Local: local, Remote: t.Addr})
	if c == nil {
		return nil, ErrClosed
	}
	l.conns.markOpened(c, key)
	go c.serve(nc)
	return c, nil
}

// dialKey names the connection to a target. One that was shown a certificate for a
// host is good for requests to that host, and to no other at the same address.
type dialKey string

func (t Target) dialKey() dialKey {
	key := t.Transport.String() + " " + t.Addr.String()
	if t.Transport == sip.TLS {
		key += " " + t.Name
	}
	return dialKey(key)
}

// dial opens a connection within the bounds of those accepted.
func (l *Layer) dial(ctx context.Context, t Target) (net.Conn, error) {
	if l.open.Add(1) > int64(l.opt.MaxConnections) {
		l.open.Add(-1)
		return nil, ErrBusy
	}
	d := net.Dialer{Timeout: l.opt.WriteTimeout, KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		l.open.Add(-1)
		return nil, err
	}
	nc = &boundConn{Conn: nc, layer: l}
	if t.Transport == sip.TCP {
		return nc, nil
	}
	tc := tls.Client(nc, l.clientTLS(t.Name))
	ctx, cancel := context.WithTimeout(ctx, l.opt.WriteTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.Addr, err)
	}
	return tc, nil
}

// MaxDatagram is the size in bytes above which a request should not go over UDP
// (RFC 3261 section 18.1.1, RFC 3428 section 8).
const MaxDatagram = 1300

// PreferTCP returns a TCP flow to the peer of a UDP flow, for a request that is too large
// for a datagram. ok is false where there is none; a peer that takes no connections is not
// tried again for a while.
func (l *Layer) PreferTCP(ctx context.Context, f sip.Flow) (_ sip.Flow, ok bool) {
	t := Target{Transport: sip.TCP, Addr: f.Remote}
	if l.conns.opened(t.dialKey()) == nil && l.udpOnly.recently(f.Remote) {
		return f, false
	}
	short, cancel := context.WithTimeout(ctx, preferTimeout)
	defer cancel()
	wide, err := l.connect(short, t)
	switch {
	case err == nil:
		return wide, true
	case ctx.Err() == nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed): // otherwise the peer is not the reason
		l.udpOnly.note(f.Remote)
	}
	return f, false
}

const (
	preferTimeout = time.Second
	udpOnlyFor    = 10 * time.Minute
	udpOnlyMax    = 10_000
)

// udpOnlyPeers remembers peers that can only be reached over UDP.
type udpOnlyPeers struct {
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time
}

func (n *udpOnlyPeers) recently(a netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.until[a])
}

func (n *udpOnlyPeers) note(a netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.until == nil || len(n.until) >= udpOnlyMax {
		n.until = make(map[netip.AddrPort]time.Time)
	}
	n.until[a] = time.Now().Add(udpOnlyFor)
}
