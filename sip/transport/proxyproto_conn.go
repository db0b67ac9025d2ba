package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// isProxy reports whether PROXY headers and X-Forwarded-For from an address are believed.
func (l *Layer) isProxy(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	networks := l.proxies.Load()
	return networks != nil && slices.ContainsFunc(*networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// A proxyListener accepts the connections of proxies as proxiedConns.
type proxyListener struct {
	net.Listener
	layer     *Layer
	transport sip.Transport
	local     netip.AddrPort
}

func (l *proxyListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); !ok || !l.layer.isProxy(a.AddrPort().Addr()) {
		return nc, nil
	}
	c := &proxiedConn{Conn: nc, listener: l, layer: l.layer, deadline: time.Now().Add(l.layer.opt.StartTimeout)}
	c.start = sync.OnceFunc(c.readHeader)
	return c, nil
}

// A proxiedConn is a connection of a proxy, which may begin with a PROXY header. RemoteAddr
// waits for the header, and returns the address of the client. It must be called before other
// methods set deadlines. A connection without a header is the proxy's own: Kamailio on the
// machine of HAProxy connects without one, and nginx sends X-Forwarded-For instead.
type proxiedConn struct {
	net.Conn
	listener *proxyListener
	layer    *Layer
	deadline time.Time // of the header
	start    func()    // calls readHeader once

	// Set by readHeader:
	remote net.Addr // nil if the header is not valid
	rest   []byte   // received after the header
	err    error
}

// RemoteAddr returns the address of the client. It returns nil if the header is not valid or
// has not come in time: the connection is closed then.
func (c *proxiedConn) RemoteAddr() net.Addr {
	c.start()
	return c.remote
}

// NetConn returns the connection of the proxy.
func (c *proxiedConn) NetConn() net.Conn { return c.Conn }

func (c *proxiedConn) Read(b []byte) (int, error) {
	c.start()
	if len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		return c.Conn.Read(b)
	}
	n := copy(b, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

// readHeader reads the header, and closes the connection if it is not valid, or if the client
// exceeds a limit.
func (c *proxiedConn) readHeader() {
	defer context.AfterFunc(c.layer.running, func() { _ = c.Conn.Close() })()
	client, err := c.receiveHeader()
	if err == nil && !c.settle(client) {
		err = errLimited
	}
	if err != nil {
		if errors.Is(err, errProxyHeader) { // a health check connects and disconnects
			c.layer.logLimit.Do(func() {
				c.layer.opt.Log.Warn("connection of a proxy closed", "source", c.Conn.RemoteAddr(), "error", err)
			})
		}
		c.err = err
		_ = c.Conn.Close()
		return
	}
	c.remote = c.Conn.RemoteAddr()
	if client.IsValid() {
		c.remote = net.TCPAddrFromAddrPort(client)
	}
}

var errLimited = errors.New("too many connections of the client of a proxy")

// settle counts the connection for the client that the header names, before the TLS handshake.
// If that is another proxy, the client is known at the upgrade to a WebSocket.
func (c *proxiedConn) settle(client netip.AddrPort) bool {
	if !client.IsValid() || c.layer.isProxy(client.Addr()) {
		return true
	}
	f := sip.Flow{Transport: c.listener.transport, Local: c.listener.local, Remote: client}
	return c.layer.settle(acceptedConnOf(c.Conn), f)
}

// receiveHeader reads until the header is complete, or the bytes cannot be one. It returns the
// client's address, zero if that is the proxy's.
func (c *proxiedConn) receiveHeader() (netip.AddrPort, error) {
	if err := c.Conn.SetReadDeadline(c.deadline); err != nil {
		return netip.AddrPort{}, err
	}
	buf := make([]byte, 0, 2*maxProxyLine)
	for {
		received := len(buf)
		var err error
		if buf, err = readMore(c.Conn, buf); err != nil {
			if received > 0 {
				err = fmt.Errorf("%w: %w", errPartialProxyHeader, err)
			}
			return netip.AddrPort{}, err
		}
		client, n, err := parseProxyHeader(buf)
		switch {
		case errors.Is(err, errPartialProxyHeader):
			continue
		case errors.Is(err, errNoProxyHeader):
		case err != nil:
			return netip.AddrPort{}, err
		}
		c.rest = buf[n:]
		return client, c.Conn.SetReadDeadline(time.Time{})
	}
}
