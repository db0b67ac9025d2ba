package stack

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
func (s *Stack) connect(ctx context.Context, t Target) (sip.Flow, error) {
	key := t.dialKey()
	if c := s.conns.opened(key); c != nil {
		return c.flow, nil
	}
	opening := s.dials.DoChan(string(key), func() (any, error) { return s.connectNew(t) })
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

// connectNew opens a connection, within the stack's own bounds of time: those who
// wait for it may not all have the same patience.
func (s *Stack) connectNew(t Target) (*conn, error) {
	key := t.dialKey()
	if c := s.conns.opened(key); c != nil {
		return c, nil
	}
	nc, err := s.dial(s.workCtx, t)
	if err != nil {
		return nil, err
	}
	local := unmap(nc.LocalAddr().(*net.TCPAddr).AddrPort())
	c := s.adopt(&bytePipe{nc: nc}, sip.Flow{Transport: t.Transport, Local: local, Remote: t.Addr})
	if c == nil {
		return nil, ErrClosed
	}
	s.conns.markOpened(c, key)
	go c.serve(nc)
	return c, nil
}

// dialKey names the connection to a target. One that was shown a certificate for a
// host is good for requests to that host, and to no other at the same address.
type dialKey string

func (t Target) dialKey() dialKey {
	key := string(t.Transport) + " " + t.Addr.String()
	if t.Transport == sip.TLS {
		key += " " + t.Name
	}
	return dialKey(key)
}

// dial opens a connection within the bounds of those accepted.
func (s *Stack) dial(ctx context.Context, t Target) (net.Conn, error) {
	if s.open.Add(1) > int64(s.cfg.MaxConnections) {
		s.open.Add(-1)
		return nil, ErrBusy
	}
	d := net.Dialer{Timeout: s.cfg.WriteTimeout, KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		s.open.Add(-1)
		return nil, err
	}
	nc = &boundConn{Conn: nc, stack: s}
	if t.Transport == sip.TCP {
		return nc, nil
	}
	tc := tls.Client(nc, s.clientTLS(t.Name))
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.Addr, err)
	}
	return tc, nil
}

// replyAnew sends an answer whose connection has closed over another one, to the
// source's address at the port in Via (RFC 3261 section 18.2.2). Few do so at a
// time: most clients who have gone cannot be connected to, which takes long to find
// out.
func (s *Stack) replyAnew(req *ServerTx, answer []byte) {
	select {
	case s.reopening <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-s.reopening }()
		f := req.Flow
		at := netip.AddrPortFrom(f.Remote.Addr(), portOr(req.Request.Via.Port, f.Transport))
		if again, err := s.connect(s.workCtx, Target{Transport: f.Transport, Addr: at, Name: req.Request.Via.Host}); err == nil {
			_ = s.write(again, answer)
		}
	}()
}

const reopeningMax = 32

// MaxDatagram is the size in bytes above which a request should not go over UDP
// (RFC 3261 section 18.1.1, RFC 3428 section 8).
const MaxDatagram = 1300

// Widen gives a TCP flow to the peer of a UDP flow, for a request that is too
// large for a datagram. A peer that takes no connections is not asked again for a
// while.
func (s *Stack) Widen(ctx context.Context, f sip.Flow) (sip.Flow, bool) {
	t := Target{Transport: sip.TCP, Addr: f.Remote}
	if s.conns.opened(t.dialKey()) == nil && s.narrow.recently(f.Remote) {
		return f, false
	}
	short, cancel := context.WithTimeout(ctx, widenTimeout)
	defer cancel()
	wide, err := s.connect(short, t)
	switch {
	case err == nil:
		return wide, true
	case ctx.Err() == nil && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrClosed): // else it is not the peer's doing
		s.narrow.note(f.Remote)
	}
	return f, false
}

const (
	widenTimeout = time.Second
	narrowFor    = 10 * time.Minute
	narrowMax    = 10_000
)

// narrow remembers peers that can only be reached over UDP.
type narrow struct {
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time
}

func (n *narrow) recently(a netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Now().Before(n.until[a])
}

func (n *narrow) note(a netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.until == nil || len(n.until) >= narrowMax {
		n.until = make(map[netip.AddrPort]time.Time)
	}
	n.until[a] = time.Now().Add(narrowFor)
}
