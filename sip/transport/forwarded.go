package transport

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// client returns the address of the client of an HTTP request: that of the connection, unless
// it is a proxy's and X-Forwarded-For names another.
//
// Forwarded (RFC 7239) is not read. A proxy passes on the header fields that it does not know,
// so that a server which believes two of them believes the one that the client has sent.
func (l *Layer) client(r *http.Request) net.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !l.isProxy(from.Addr()) {
		return tcpAddr(r.RemoteAddr)
	}
	return net.TCPAddrFromAddrPort(forwardedFor(r.Header.Values("X-Forwarded-For"), from, l.isProxy))
}

// forwardedFor returns the address of the client of a connection from a proxy, by the values
// of X-Forwarded-For. Each proxy has appended the address of its peer. So the last address that
// is not a proxy's is the client's; addresses before it are claims of the client. If
// an element is not an address, such as "unknown", the proxy that has appended it counts as the
// client.
//
// If the element has no port, the port is that of the proxy's connection, which no other
// client has at the same time.
func forwardedFor(values []string, proxy netip.AddrPort, isProxy func(netip.Addr) bool) netip.AddrPort {
	client := proxy
	for _, rest := range slices.Backward(values) {
		for more := true; more; {
			var element string
			if rest, element, more = cutLastComma(rest); element == "" {
				continue // empty elements of lists are ignored (RFC 9110 section 5.6.1)
			}
			a, ok := parseForwarded(element, proxy.Port())
			if !ok {
				return client
			}
			if client = a; !isProxy(client.Addr()) {
				return client
			}
		}
	}
	return client
}

// cutLastComma returns the list before its last element, the element, and whether there is a
// list before it.
func cutLastComma(s string) (before, element string, more bool) {
	i := strings.LastIndexByte(s, ',')
	return s[:max(i, 0)], strings.Trim(s[i+1:], " \t"), i >= 0
}

// parseForwarded parses an element of X-Forwarded-For: 192.0.2.1, 192.0.2.1:5070,
// 2001:db8::1, [2001:db8::1] or [2001:db8::1]:5070, also in quotation marks.
func parseForwarded(s string, port uint16) (netip.AddrPort, bool) {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
			s = s[1 : len(s)-1]
		}
		a, err := netip.ParseAddr(s)
		if err != nil {
			return netip.AddrPort{}, false
		}
		ap = netip.AddrPortFrom(a, port)
	}
	if ap.Port() == 0 {
		ap = netip.AddrPortFrom(ap.Addr(), port)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
}
