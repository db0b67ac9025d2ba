package sip

import (
	"net/netip"
	"slices"
)

// Unusable returns the reason why nothing can be sent to the next hop u, as the end of a
// sentence about u, or "". It does not look names up. The contact of a client behind a NAT, or
// with a connection, is not a next hop and may have any host.
func (o *OwnAddresses) Unusable(u URI) string {
	a, literal := u.Addr()
	switch {
	case u.IsInvalid():
		return "names a host that cannot exist"
	case literal && (a.IsUnspecified() || thisNetwork.Contains(a)):
		return "names no host"
	case literal && a.IsMulticast():
		return "names a group of hosts"
	case literal && (a == limitedBroadcast || slices.Contains(o.Broadcast, a)):
		return "names all hosts of a network"
	}
	return ""
}

var (
	thisNetwork      = netip.MustParsePrefix("0.0.0.0/8")
	limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
)
