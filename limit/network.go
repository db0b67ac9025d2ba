package limit

import "net/netip"

// A Network is the block of addresses that one customer of a provider has: a single IPv4
// address, or the /64 of an IPv6 one, in which a host may take any address. It is 8
// bytes, which mean the same in every process.
type Network [8]byte

// noNetwork is the Network of the zero Addr. That of an IPv4 address begins like it, as
// multicast does in IPv6, which is never a source.
var noNetwork = Network{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// NetworkOf returns the network of an address. An IPv4 address that is mapped to IPv6
// has the same as the IPv4 address.
func NetworkOf(addr netip.Addr) Network {
	addr = addr.Unmap()
	n := noNetwork
	switch {
	case addr.Is4():
		b := addr.As4()
		copy(n[4:], b[:])
	case addr.Is6():
		b := addr.As16()
		copy(n[:], b[:])
	}
	return n
}

// IsValid reports whether n is the network of an address that is not the zero Addr.
func (n Network) IsValid() bool { return n != noNetwork }

// Prefix returns n as a prefix of 32 or 64 bits.
func (n Network) Prefix() netip.Prefix {
	if [4]byte(n[:4]) == [4]byte(noNetwork[:4]) {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(n[4:])), 32)
	}
	var b [16]byte
	copy(b[:], n[:])
	return netip.PrefixFrom(netip.AddrFrom16(b), 64)
}

// String returns the IPv4 address, or the IPv6 network with its length.
func (n Network) String() string {
	p := n.Prefix()
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
