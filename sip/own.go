package sip

import (
	"net/netip"
	"slices"
)

// OwnAddresses are the addresses at which other programs reach this server. Configuration,
// registrar and proxy ask it whether a next hop is the server itself.
type OwnAddresses struct {
	Listen    []Listener
	Advertise string       // host, or host and port, by which peers know the server; "": none
	Machine   []netip.Addr // addresses of the machine, for listeners on all addresses
	Broadcast []netip.Addr // of the networks of the machine
	Hostname  string       // of the machine, for these too
	Domains   Domains
}

// A Listener is an address on which the server listens.
type Listener struct {
	Transport Transport
	Addr      netip.AddrPort
}

// IsNextHop reports whether a request to the next hop u, a proxy or a contact without a
// connection, would reach this server itself. The transport of u matters only for its
// default port: no other server has the same address and port with another transport.
//
// A domain of this server without a port is the server itself, whatever DNS says. With a port
// it is only if the server listens on that port: another server on the same machine may have
// the same name.
func (o *OwnAddresses) IsNextHop(u URI) bool {
	if !u.IsSIP() {
		return false
	}
	if a, ok := u.Addr(); ok {
		return o.HasAddr(netip.AddrPortFrom(a, u.nextHopPort())) || o.isAdvertised(u)
	}
	host := canonicalHost(u.Host)
	switch {
	case o.isAdvertised(u):
		return true
	case host == "localhost":
		port := u.nextHopPort()
		return o.HasAddr(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)) ||
			o.HasAddr(netip.AddrPortFrom(netip.IPv6Loopback(), port))
	case o.Hostname != "" && host == canonicalHost(o.Hostname):
		return o.listensAnywhere(u.nextHopPort())
	case o.Domains.Has(host):
		return u.Port == 0 || o.hasPort(u.Port)
	}
	return false
}

// HasAddr reports whether the server listens on an address and port. A request to 0.0.0.0
// or :: reaches this machine by its loopback address.
func (o *OwnAddresses) HasAddr(a netip.AddrPort) bool {
	for i := range o.Listen {
		switch l := o.Listen[i].Addr; {
		case l.Port() != a.Port() || l.Addr().Is4() != a.Addr().Is4():
		case l.Addr() == a.Addr(), l.Addr().IsUnspecified() && o.isMachine(a.Addr()),
			a.Addr().IsUnspecified() && l.Addr().IsLoopback():
			return true
		}
	}
	return false
}

// isMachine reports whether a listener on all addresses has a.
func (o *OwnAddresses) isMachine(a netip.Addr) bool {
	return a.IsLoopback() || a.IsUnspecified() || slices.Contains(o.Machine, a)
}

// isAdvertised reports whether u is the advertised address. Without a port in it, the ports
// are those of the listeners.
func (o *OwnAddresses) isAdvertised(u URI) bool {
	if o.Advertise == "" {
		return false
	}
	host, port, err := ParseHostPort(o.Advertise)
	if err != nil || canonicalHost(host) != canonicalHost(u.Host) {
		return false
	}
	asked := u.nextHopPort()
	if _, literal := u.Addr(); !literal && u.Port == 0 {
		return true
	}
	return asked == port || port == 0 && o.hasPort(asked)
}

// listensAnywhere reports whether a listener on all addresses has a port.
func (o *OwnAddresses) listensAnywhere(port uint16) bool {
	for i := range o.Listen {
		if l := o.Listen[i].Addr; l.Addr().IsUnspecified() && l.Port() == port {
			return true
		}
	}
	return false
}

func (o *OwnAddresses) hasPort(port uint16) bool {
	for i := range o.Listen {
		if o.Listen[i].Addr.Port() == port {
			return true
		}
	}
	return false
}
