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
	port := u.Port
	if port == 0 {
		port = 5060
	}
	ip, ok := u.Addr()
	if !ok {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Host)
		if err != nil {
			return Flow{}, fmt.Errorf("look up %s: %w", u.Host, err)
		}
		ip = ips[0].Unmap()
	}
	return s.Connect(ctx, t, netip.AddrPortFrom(ip, port))
}
