package transport

import (
	"context"
	"net"
	"net/netip"
	"time"

	"silod/mi"
)

// localIPs knows IP addresses of this machine. It caches them for a short time, because
// addresses and routes change.
type localIPs struct {
	routes recent[netip.Addr, netip.Addr] // local addresses by remote address
	own    recent[netip.Addr, bool]
}

const localIPTime = 10 * time.Second

// localAddrFor returns the local address from which the kernel sends to a remote address.
func (l *localIPs) localAddrFor(remote netip.AddrPort) netip.Addr {
	if a, ok := l.routes.get(remote.Addr()); ok {
		return a
	}
	a := netip.IPv4Unspecified()
	// Connecting a UDP socket sends nothing, but looks up the route.
	var d net.Dialer
	if c, err := d.DialContext(context.Background(), "udp", remote.String()); err == nil {
		a = unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()).Addr()
		_ = c.Close()
	}
	l.routes.put(remote.Addr(), a, localIPTime)
	return a
}

// exists reports whether an address is one of this machine.
func (l *localIPs) exists(a netip.Addr) bool {
	if own, ok := l.own.get(a); ok {
		return own
	}
	// Only to the machine's own addresses can a socket be bound.
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	if err == nil {
		_ = c.Close()
	}
	own := err == nil || mi.LacksResources(err)
	l.own.put(a, own, localIPTime)
	return own
}
