package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"time"

	"silod/sip"
)

// A streamListener accepts the connections of one transport.
type streamListener struct {
	layer     *Layer
	transport sip.Transport
	ln        net.Listener
	local     netip.AddrPort
}

// listenStream opens a TCP listener, also for TLS and WebSocket.
func (l *Layer) listenStream(ctx context.Context, t sip.Transport, addr netip.AddrPort) error {
	if t.Secure() && l.certificates.Load() == nil {
		return errors.New("no certificate")
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(ctx, network("tcp", addr.Addr()), addr.String())
	if err != nil {
		return err
	}
	local := unmap(ln.Addr().(*net.TCPAddr).AddrPort())
	ln = &boundedListener{Listener: ln, layer: l, transport: t, local: local}
	ln = &proxyListener{Listener: ln, layer: l, transport: t, local: local}
	if t.Secure() {
		ln = tls.NewListener(ln, l.serverTLS(t))
	}
	l.listeners = append(l.listeners, &streamListener{layer: l, transport: t, ln: ln, local: local})
	return nil
}

// keepAlive detects peers that have disappeared without a FIN.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4}

// accept accepts and serves connections until the listener is closed.
func (l *streamListener) accept() error {
	if l.transport == sip.WS || l.transport == sip.WSS {
		return l.serveHTTP()
	}
	for {
		nc, err := l.ln.Accept()
		if err != nil {
			return ignoreClosed(err)
		}
		go l.serveStream(nc)
	}
}

// serveStream serves a connection. The first read performs the TLS handshake, with the deadline
// of the first message. RemoteAddr waits for the header of a proxy.
func (l *streamListener) serveStream(nc net.Conn) {
	if c := l.newConn(nc, nc.RemoteAddr(), &bytePipe{nc: nc}); c != nil {
		c.serve(nc)
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// newConn is Layer.newConn for an accepted connection of the peer with an address. If the
// listener is bound to all addresses, the flow has the one to which the peer has connected. The
// peer is the client, also behind a proxy: so all limits, bans and rights are those of the
// client, although the packets come from the proxy. from is nil if the proxy's header is not
// valid.
func (l *streamListener) newConn(nc net.Conn, from net.Addr, p pipe) *conn {
	f := sip.Flow{Transport: l.transport, Local: l.local}
	if from == nil {
		p.close()
		return nil
	}
	remote, err := netip.ParseAddrPort(from.String())
	if err != nil {
		p.close()
		return nil
	}
	f.Remote = unmap(remote)
	if l.local.Addr().IsUnspecified() {
		if local, err := netip.ParseAddrPort(nc.LocalAddr().String()); err == nil {
			f.Local = unmap(local)
		}
	}
	accepted := acceptedConnOf(nc)
	if !l.layer.settle(accepted, f) {
		p.close()
		return nil
	}
	return l.layer.newConn(p, f, accepted)
}

// A boundedListener accepts the connections that Layer.admit admits, and closes others
// immediately.
type boundedListener struct {
	net.Listener
	layer     *Layer
	transport sip.Transport
	local     netip.AddrPort
}

// Accept repeats after errors: see Layer.retry.
func (l *boundedListener) Accept() (net.Conn, error) {
	for failures := 0; ; {
		nc, err := l.Listener.Accept()
		if err != nil {
			if l.layer.retry(err, &failures) {
				continue
			}
			return nil, err
		}
		f := sip.Flow{Transport: l.transport, Local: l.local}
		if remote, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
			f.Remote = unmap(remote.AddrPort())
		}
		if c := l.layer.admit(nc, f); c != nil {
			return c, nil
		}
		_ = nc.Close()
	}
}
