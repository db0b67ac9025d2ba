package sip

import (
	"cmp"
	"net/netip"
	"strings"
)

// Transport returns the transport for requests to a URI without regard to DNS (RFC 3263
// section 4.1): that of the parameter, else UDP. The scheme sips requires TLS (RFC 3261
// section 26.2.2), and over WebSocket WSS (RFC 7118 section 5). It is zero if the parameter
// names an unknown transport. named reports whether the URI has the parameter.
func (u URI) Transport() (t Transport, named bool) {
	name, _ := u.Params.Get("transport")
	named = name != ""
	if t = UDP; named {
		t, _ = ParseTransport(name)
	}
	switch {
	case u.Scheme != "sips" || t == 0 || t.Secure():
		return t, named
	case t == WS:
		return WSS, named
	default:
		return TLS, named
	}
}

// AddrPort returns the address to which requests to a URI are sent without a lookup. It
// reports whether the host is an IP address.
func (u URI) AddrPort() (netip.AddrPort, bool) {
	ip, ok := u.Addr()
	if !ok {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(ip, u.nextHopPort()), true
}

// nextHopPort returns the port of a URI, or the default port of its transport (RFC 3263 section
// 4.2).
func (u URI) nextHopPort() uint16 {
	t, _ := u.Transport()
	return cmp.Or(u.Port, t.DefaultPort())
}

// IsInvalid reports whether the host of a URI can never be resolved: its name ends in
// ".invalid" (RFC 2606), as in the contacts of WebSocket clients (RFC 7118 section 5.1.1).
func (u URI) IsInvalid() bool {
	host := strings.TrimSuffix(u.Host, ".")
	return host == "invalid" || strings.HasSuffix(host, ".invalid")
}
