package transport

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"silod/sip"
)

// A Target is an address to which a request can be sent (RFC 3263).
type Target struct {
	Transport sip.Transport
	Addr      netip.AddrPort
	Name      string // for which a TLS certificate must be valid
}

// TargetOf returns the address on which the peer of a flow listens, according to the
// sent-by host and port of its Via. Port 0 stands for the default port.
func TargetOf(f sip.Flow, host string, port uint16) Target {
	port = cmp.Or(port, f.Transport.DefaultPort())
	return Target{Transport: f.Transport, Addr: netip.AddrPortFrom(f.Remote.Addr(), port), Name: host}
}

// maxTargets is the maximum number of addresses that one lookup returns.
const maxTargets = 8

// services are the SRV services of the transports, in the order of our preference (RFC 3263
// section 4.1). NAPTR records are not looked up: they refer to the same services.
var services = []struct {
	transport      sip.Transport
	service, proto string
}{
	{sip.UDP, "sip", "udp"},
	{sip.TCP, "sip", "tcp"},
	{sip.TLS, "sips", "tcp"},
}

// Resolve returns the targets of a URI, in order of preference. An IP address or a port in
// the URI needs no SRV lookup, and a transport in it selects one service. If there are no
// SRV records, Resolve looks up address records.
func (l *Layer) Resolve(ctx context.Context, u sip.URI) ([]Target, error) {
	t, named := transportOf(u)
	if !named && !secure(u) {
		t = sip.UDP
	}
	if ip, ok := u.Addr(); ok {
		return []Target{{t, netip.AddrPortFrom(ip, cmp.Or(u.Port, t.DefaultPort())), u.Host}}, nil
	}
	if u.Port != 0 {
		return l.addresses(ctx, t, u.Host, u.Port, u.Host)
	}
	var found []Target
	for _, svc := range services {
		if named && svc.transport != t || secure(u) && svc.transport != sip.TLS {
			continue
		}
		_, records, err := l.resolver().LookupSRV(ctx, svc.service, svc.proto, u.Host)
		if err != nil {
			continue // if the name does not exist, the lookup of addresses fails below
		}
		for _, r := range records[:min(len(records), maxTargets)] { // sorted by priority and weight
			more, err := l.addresses(ctx, svc.transport, strings.TrimSuffix(r.Target, "."), r.Port, u.Host)
			if err == nil {
				found = append(found, more...)
			}
		}
	}
	if len(found) == 0 {
		return l.addresses(ctx, t, u.Host, cmp.Or(u.Port, t.DefaultPort()), u.Host)
	}
	return found[:min(len(found), maxTargets)], nil
}

func (l *Layer) resolver() *net.Resolver {
	if l.opt.Resolver != nil {
		return l.opt.Resolver
	}
	return net.DefaultResolver
}

// addresses returns the targets for the addresses of a host.
func (l *Layer) addresses(ctx context.Context, t sip.Transport, host string, port uint16, name string) ([]Target, error) {
	ips, err := l.resolver().LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	var ts []Target
	for _, ip := range ips[:min(len(ips), maxTargets)] {
		ts = append(ts, Target{t, netip.AddrPortFrom(ip.Unmap(), port), name})
	}
	return ts, nil
}

// transportOf returns the transport of a URI, zero if it is unknown, and reports whether the
// URI has a transport parameter. The scheme sips requires TLS (RFC 3261 section 26.2.2).
func transportOf(u sip.URI) (t sip.Transport, named bool) {
	name, _ := u.Params.Get("transport")
	t, _ = sip.ParseTransport(name)
	named = name != ""
	if secure(u) && (!named || t == sip.TCP || t == sip.UDP) {
		return sip.TLS, named
	}
	return t, named
}

func secure(u sip.URI) bool { return u.Scheme == "sips" }
