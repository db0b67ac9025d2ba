//go:build !linux

package transport

import (
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// destination returns the destination address of a datagram and the number of the interface
// on which it was received, given its control message. It is the zero Addr if there is none.
func destination(control []byte, v4 bool) (a netip.Addr, ifIndex int) {
	if v4 {
		var cm ipv4.ControlMessage
		if cm.Parse(control) != nil {
			return a, 0
		}
		a, _ = netip.AddrFromSlice(cm.Dst)
		return a, cm.IfIndex
	}
	var cm ipv6.ControlMessage
	if cm.Parse(control) != nil {
		return a, 0
	}
	a, _ = netip.AddrFromSlice(cm.Dst)
	return a, cm.IfIndex
}
