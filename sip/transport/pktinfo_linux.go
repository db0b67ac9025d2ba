package transport

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// destination returns the local address of a datagram and the number of the interface on
// which it was received, given its control message (ip(7) and ipv6(7), struct in_pktinfo and
// struct in6_pktinfo). Of a broadcast it is the address of the interface, which package
// ipv4 does not return. It is the zero Addr if there is none.
func destination(control []byte, v4 bool) (a netip.Addr, ifIndex int) {
	if v4 {
		if len(control) < syscall.CmsgLen(12) {
			return a, 0
		}
		data := control[syscall.CmsgLen(0):]
		return netip.AddrFrom4([4]byte(data[4:8])), int(binary.NativeEndian.Uint32(data))
	}
	if len(control) < syscall.CmsgLen(20) {
		return a, 0
	}
	data := control[syscall.CmsgLen(0):]
	return netip.AddrFrom16([16]byte(data[:16])), int(binary.NativeEndian.Uint32(data[16:]))
}
