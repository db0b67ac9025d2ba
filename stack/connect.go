package stack

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// connect gives a flow to a peer that has none yet: over UDP from a socket that
// can reach it, over TCP by a connection that we opened ourselves to that very
// address, never by one that a client opened to us. name is what a certificate must be for.
func (s *Stack) connect(ctx context.Context, t Transport, remote netip.AddrPort, name string) (Flow, error) {
	if t == UDP {
		u := s.socketFor(Flow{Remote: remote})
		if u == nil {
			return Flow{}, errors.New("no UDP socket reaches " + remote.String())
		}
		return Flow{Transport: UDP, Local: u.local, Remote: remote}, nil
	}
	if t != TCP && t != TLS {
		return Flow{}, errors.New("cannot connect over " + string(t))
	}
	if c := s.conns.opened(t, remote); c != nil {
		return c.flow, nil
	}
	nc, err := s.dial(ctx, t, remote, name)
	if err != nil {
		return Flow{}, err
	}
	local := unmap(nc.LocalAddr().(*net.TCPAddr).AddrPort())
	c := s.adopt(&bytePipe{nc: nc}, Flow{Transport: t, Local: local, Remote: remote})
	if c == nil {
		return Flow{}, ErrClosed
	}
	s.conns.markOpened(c)
	go c.serve(nc)
	return c.flow, nil
}

// dial opens a connection within the bounds of those accepted.
func (s *Stack) dial(ctx context.Context, t Transport, remote netip.AddrPort, name string) (net.Conn, error) {
	if s.open.Add(1) > int64(s.cfg.MaxConnections) {
		s.open.Add(-1)
		return nil, ErrBusy
	}
	d := net.Dialer{Timeout: s.cfg.WriteTimeout, KeepAliveConfig: keepAlive}
	nc, err := d.DialContext(ctx, "tcp", remote.String())
	if err != nil {
		s.open.Add(-1)
		return nil, err
	}
	nc = &boundConn{Conn: nc, stack: s}
	if t == TCP {
		return nc, nil
	}
	tc := tls.Client(nc, s.clientTLS(name))
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", remote, err)
	}
	return tc, nil
}
