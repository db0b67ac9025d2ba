package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"

	"silod/sip"
)

// Connect returns a flow to a target. Over UDP it uses a socket of the same IP version.
// Over TCP and TLS it uses a connection that we opened to that address, or opens one. It
// does not use connections that clients have opened. Before Run it waits. If
// MaxConnections are open, or too many are being opened, the error is ErrBusy.
func (l *Layer) Connect(ctx context.Context, t Target) (sip.Flow, error) {
	switch t.Transport {
	case sip.UDP:
		u := l.socketFor(sip.Flow{Remote: t.Addr})
		if u == nil {
			return sip.Flow{}, fmt.Errorf("no UDP socket for %s", t.Addr)
		}
		return sip.Flow{Transport: sip.UDP, Local: u.local, Remote: t.Addr}, nil
	case sip.TCP, sip.TLS:
		f, err := l.connectStream(ctx, t)
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) && !errors.Is(err, ErrBusy) {
			l.Silent(sip.Flow{Transport: t.Transport, Remote: t.Addr})
		}
		return f, err
	default:
		return sip.Flow{}, fmt.Errorf("cannot open a connection over %q", t.Transport)
	}
}

// connectStream returns the flow of the connection to a target. Concurrent calls for one
// target open one connection.
func (l *Layer) connectStream(ctx context.Context, t Target) (sip.Flow, error) {
	key := t.dialKey()
	if c := l.conns.getDialed(key); c != nil {
		return c.flow, nil
	}
	dialed := l.dials.DoChan(string(key), func() (any, error) { return l.openConn(t) })
	select {
	case r := <-dialed:
		if r.Err != nil {
			return sip.Flow{}, r.Err
		}
		return r.Val.(*conn).flow, nil
	case <-ctx.Done():
		return sip.Flow{}, ctx.Err()
	}
}

// openConn opens a connection to a target. It has its own timeout, because it serves
// several calls of connectStream with different contexts.
func (l *Layer) openConn(t Target) (*conn, error) {
	select {
	case <-l.started: // the connection needs the receiver
	case <-l.running.Done():
		return nil, ErrClosed
	}
	key := t.dialKey()
	if c := l.conns.getDialed(key); c != nil {
		return c, nil
	}
	nc, err := l.dial(l.running, t)
	if err != nil {
		return nil, err
	}
	local := unmap(nc.LocalAddr().(*net.TCPAddr).AddrPort())
	c := l.newConn(&bytePipe{nc: nc}, sip.Flow{Transport: t.Transport, Local: local, Remote: t.Addr}, nil)
	if c == nil {
		return nil, ErrClosed
	}
	l.conns.setDialed(c, key)
	go c.serve(nc)
	return c, nil
}

// A dialKey identifies the connection to a target. Over TLS it contains the name, because
// the certificate was checked for that name only.
type dialKey string

func (t Target) dialKey() dialKey {
	key := t.Transport.String() + " " + t.Addr.String()
	if t.Transport == sip.TLS {
		key += " " + t.Name
	}
	return dialKey(key)
}

// maxDialing returns the maximum number of connections that are being opened at the same
// time: so many targets that do not answer leave the others to clients.
func (o *Options) maxDialing() int64 { return max(16, int64(o.MaxConnections)/4) }

// dial opens a TCP or TLS connection, which counts against MaxConnections. The timeout is
// for all of it. A failure is not remembered: callers share the attempts, and each waits for
// one.
func (l *Layer) dial(ctx context.Context, t Target) (net.Conn, error) {
	defer l.dialing.Add(-1)
	if l.dialing.Add(1) > l.opt.maxDialing() {
		return nil, ErrBusy
	}
	displaced, ok := l.roster.enterDialed()
	if !ok {
		return nil, ErrBusy
	}
	l.displace(displaced)
	ctx, cancel := context.WithTimeout(ctx, l.opt.WriteTimeout)
	defer cancel()
	d := net.Dialer{KeepAliveConfig: keepAlive, LocalAddr: l.sourceOf(t.Addr.Addr())}
	nc, err := d.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		l.roster.leaveDialed()
		return nil, err
	}
	nc = &dialedConn{Conn: nc, roster: l.roster}
	if t.Transport == sip.TCP {
		return nc, nil
	}
	tc := tls.Client(nc, l.clientTLS(t.Name))
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("TLS with %s: %w", t.Addr, err)
	}
	return tc, nil
}

// A dialedConn is a connection that we opened. It counts until it is closed.
type dialedConn struct {
	net.Conn
	roster *roster
	once   sync.Once
}

func (c *dialedConn) Close() error {
	c.once.Do(c.roster.leaveDialed)
	return c.Conn.Close()
}
