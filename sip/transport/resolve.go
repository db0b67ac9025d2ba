package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"silod/sip"
)

// Target is a place where a request can be sent (RFC 3263).
type Target struct {
	Transport sip.Transport
	Addr      netip.AddrPort
	Name      string // what a TLS certificate must be for
}

// TargetOf returns the place at which the peer of a flow listens, by the sent-by of its Via.
func TargetOf(f sip.Flow, host string, port uint16) Target {
	return Target{Transport: f.Transport, Addr: netip.AddrPortFrom(f.Remote.Addr(), portOr(port, f.Transport)), Name: host}
}

// maxTargets bounds what a zone can make us try.
const maxTargets = 8

// services are the SRV names of the transports, in the order of our preference
// (RFC 3263 section 4.1, without NAPTR: its answer is one of these).
var services = []struct {
	transport      sip.Transport
	service, proto string
}{
	{sip.UDP, "sip", "udp"},
	{sip.TCP, "sip", "tcp"},
	{sip.TLS, "sips", "tcp"},
}

// Resolve finds where a URI leads, best first: a transport and port that it names
// count, an IP address is taken at once, else SRV records are asked for, else
// address records.
func (l *Layer) Resolve(ctx context.Context, u sip.URI) ([]Target, error) {
	t, named := transportOf(u)
	if !named && !secure(u) {
		t = sip.UDP
	}
	if ip, ok := u.Addr(); ok {
		return []Target{{t, netip.AddrPortFrom(ip, portOr(u.Port, t)), u.Host}}, nil
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
			continue // no such service; that the name does not exist is found out below
		}
		for _, r := range records[:min(len(records), maxTargets)] { // sorted by priority and weight
			more, err := l.addresses(ctx, svc.transport, strings.TrimSuffix(r.Target, "."), r.Port, u.Host)
			if err == nil {
				found = append(found, more...)
			}
		}
	}
	if len(found) == 0 {
		return l.addresses(ctx, t, u.Host, portOr(u.Port, t), u.Host)
	}
	return found[:min(len(found), maxTargets)], nil
}

func (l *Layer) resolver() *net.Resolver {
	if l.opt.Resolver != nil {
		return l.opt.Resolver
	}
	return net.DefaultResolver
}

// addresses looks a host up.
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

// transportOf returns the transport that a URI names, zero for an unknown one. The scheme
// sips means TLS (RFC 3261 section 26.2.2).
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

func portOr(port uint16, t sip.Transport) uint16 {
	if port != 0 {
		return port
	}
	if t == sip.TLS {
		return 5061
	}
	return 5060
}

// Connect gives a flow to a target: over UDP from a socket that can reach it, over
// TCP and TLS by a connection that we opened ourselves to that very address, never
// by one that a client opened to us.
func (l *Layer) Connect(ctx context.Context, t Target) (sip.Flow, error) {
	switch t.Transport {
	case sip.UDP:
		u := l.socketFor(sip.Flow{Remote: t.Addr})
		if u == nil {
			return sip.Flow{}, errors.New("no UDP socket reaches " + t.Addr.String())
		}
		return sip.Flow{Transport: sip.UDP, Local: u.local, Remote: t.Addr}, nil
	case sip.TCP, sip.TLS:
		return l.connect(ctx, t)
	default:
		return sip.Flow{}, errors.New("no connection can be opened over this transport")
	}
}
