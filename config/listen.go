package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// A Listen is an address on which silod listens for SIP.
type Listen struct {
	Transport string         // udp, tcp, tls, ws or wss
	Addr      netip.AddrPort // port 0: any free port
}

// defaultPorts of the transports: RFC 3261 section 19.1.2, RFC 7118 section 5.2.
var defaultPorts = map[string]string{"udp": "5060", "tcp": "5060", "tls": "5061", "ws": "80", "wss": "443"}

// ParseListen parses "udp:127.0.0.1:5060" or "tls:[2001:db8::1]". Without a port it is
// the default port of the transport.
func ParseListen(s string) (Listen, error) {
	transport, host, ok := strings.Cut(s, ":")
	if !ok {
		return Listen{}, errors.New("the transport is missing")
	}
	transport = strings.ToLower(transport)
	port, ok := defaultPorts[transport]
	if !ok {
		return Listen{}, fmt.Errorf("unknown transport %q", transport)
	}
	if rest, name := strings.CutPrefix(host, "localhost"); name && (rest == "" || rest[0] == ':') {
		host = "127.0.0.1" + rest
	}
	if bare, err := netip.ParseAddr(host); err == nil && bare.Is6() {
		return Listen{}, errors.New("an IPv6 address must be in brackets")
	} else if err == nil || strings.HasSuffix(host, "]") {
		host += ":" + port
	}
	addr, err := netip.ParseAddrPort(host)
	if err != nil {
		return Listen{}, fmt.Errorf("%q is not an IP address with a port", host)
	}
	return Listen{transport, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())}, nil
}

// String returns "udp:127.0.0.1:5060".
func (l Listen) String() string { return l.Transport + ":" + l.Addr.String() }

// Secure reports whether the transport needs a certificate.
func (l Listen) Secure() bool { return l.Transport == "tls" || l.Transport == "wss" }

// UnmarshalText parses an address as ParseListen does.
func (l *Listen) UnmarshalText(b []byte) (err error) {
	*l, err = ParseListen(string(b))
	return err
}

func (l *Listen) text() string { return l.String() }

func (l *Listen) expects() string {
	return `a listen address such as "udp:127.0.0.1:5060" or "tls:[::1]:5061" (udp, tcp, tls, ws or wss)`
}
