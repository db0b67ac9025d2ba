package transport

import (
	"net"
	"net/netip"
)

// sourceOf returns the local address for a connection to a peer: the one that silod listens
// on, by which peers know it, if there is one only. On a machine with several addresses the
// system may choose another. It returns nil if the system is to choose.
func (l *Layer) sourceOf(peer netip.Addr) net.Addr {
	var source netip.Addr
	for _, e := range l.Endpoints() {
		a := e.Addr.Addr()
		switch {
		case a.Is4() != peer.Is4():
		case a.IsUnspecified(), a.IsLoopback() != peer.IsLoopback(), source.IsValid() && a != source:
			return nil
		default:
			source = a
		}
	}
	if !source.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
}
