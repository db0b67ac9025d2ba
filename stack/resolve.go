package stack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"silod/address"
)

// Reach finds a flow to where a URI points, for peers that have not registered
// here (RFC 3263, address records only): by the transport that it names, else UDP.
func (s *Stack) Reach(ctx context.Context, u address.URI) (Flow, error) {
	t := UDP
	if name, ok := u.Params.Get("transport"); ok {
		t = Transport(strings.ToLower(name))
	}
	if u.Scheme == "sips" && !t.Reliable() || u.Scheme == "sips" && t == TCP {
		t = TLS // RFC 3261 section 26.2.2
	}
	port := u.Port
	if port == 0 {
		port = defaultPort(t)
	}
	ip, ok := u.Addr()
	if !ok {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Host)
		if err != nil {
			return Flow{}, fmt.Errorf("look up %s: %w", u.Host, err)
		}
		ip = ips[0].Unmap()
	}
	return s.connect(ctx, t, netip.AddrPortFrom(ip, port), u.Host)
}

func defaultPort(t Transport) uint16 {
	switch t {
	case TLS:
		return 5061
	case WS:
		return 80
	case WSS:
		return 443
	}
	return 5060
}
