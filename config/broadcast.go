package config

import "net/netip"

// BroadcastAddresses returns the addresses that stand for all hosts of a network of this
// machine.
func BroadcastAddresses() (addrs []netip.Addr) {
	for _, p := range interfaces() {
		if b, ok := broadcastOf(p); ok {
			addrs = append(addrs, b)
		}
	}
	return addrs
}

// broadcastOf returns the last address of a network (RFC 919). Networks of one or two addresses
// (RFC 3021) and those of IPv6 have no broadcast address.
func broadcastOf(p netip.Prefix) (netip.Addr, bool) {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}, false
	}
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b), true
}
