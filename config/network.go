package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Network is an IP network or a single address.
type Network struct{ netip.Prefix }

// UnmarshalText parses "10.0.0.0/8" or "192.0.2.1".
func (n *Network) UnmarshalText(b []byte) error {
	s := string(b)
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("parse address: %w", err)
		}
		n.Prefix = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("parse network: %w", err)
	}
	if prefix != prefix.Masked() {
		return fmt.Errorf("bits are set after the prefix; did you mean %q?", prefix.Masked())
	}
	n.Prefix = prefix
	return nil
}

func (n *Network) text() string { return n.String() }

func (n *Network) expects() string {
	return `a network or an address such as "10.0.0.0/8" or "192.0.2.1"`
}
