package transport

import "net/netip"

// network returns base with the IP version of a, such as "udp4": so a listener on :: does
// not accept IPv4.
func network(base string, a netip.Addr) string {
	if a.Is4() {
		return base + "4"
	}
	return base + "6"
}

// unmap returns a with an IPv4-mapped IPv6 address converted to IPv4.
func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
