package transport

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

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

const (
	maxTargets     = 8                // of a URI
	resolveTimeout = 15 * time.Second // for all lookups of a URI
	resolvedTime   = 5 * time.Second  // for which the targets of a URI are kept
)

// A query is the part of a URI that determines its targets.
type query struct {
	transport sip.Transport // zero: to be selected
	secure    bool
	host      string
	port      uint16
}

// Resolve returns the targets of a URI, in the order in which they are to be tried. An IP
// address or a port in the URI needs no lookup of services, and a transport in it selects
// one. A sips URI has targets over TLS only. The parameter maddr is not followed: it would
// lead a request to an address that the checks of the host have not seen.
func (l *Layer) Resolve(ctx context.Context, u sip.URI) ([]Target, error) {
	q, err := queryOf(u)
	if err != nil {
		return nil, err
	}
	if ip, ok := u.Addr(); ok {
		if !isHost(ip) {
			return nil, fmt.Errorf("%s is not the address of a host", ip)
		}
		t := q.defaultTransport()
		return []Target{{t, netip.AddrPortFrom(ip, cmp.Or(u.Port, t.DefaultPort())), u.Host}}, nil
	}
	if err := checkName(u.Host); err != nil {
		return nil, err
	}
	ts, ok := l.resolved.get(q)
	if !ok {
		if ts, err = l.share(ctx, q); err != nil {
			return nil, err
		}
	}
	return l.silentLast(ts), nil
}

// share looks a query up. Concurrent calls share one lookup, which has a timeout of its own.
func (l *Layer) share(ctx context.Context, q query) ([]Target, error) {
	found := l.lookups.DoChan(fmt.Sprint(q), func() (any, error) {
		ctx, cancel := context.WithTimeout(l.running, resolveTimeout)
		defer cancel()
		ts, err := l.lookup(ctx, q)
		if err == nil {
			l.resolved.put(q, ts, resolvedTime)
		}
		return ts, err
	})
	select {
	case r := <-found:
		return r.Val.([]Target), r.Err
	case <-ctx.Done():
		return nil, fmt.Errorf("look up %s: %w", q.host, ctx.Err())
	}
}

// queryOf returns the query for a URI.
func queryOf(u sip.URI) (query, error) {
	q := query{secure: u.Scheme == "sips", host: u.Host, port: u.Port}
	t, named := u.Transport()
	if t == 0 {
		name, _ := u.Params.Get("transport")
		return q, fmt.Errorf("transport %.20q is not supported", name)
	}
	if named {
		q.transport = t
	}
	return q, nil
}

// defaultTransport returns the transport if no service is looked up (RFC 3263 section 4.1).
func (q *query) defaultTransport() sip.Transport {
	switch {
	case q.transport != 0:
		return q.transport
	case q.secure:
		return sip.TLS
	default:
		return sip.UDP
	}
}

// checkName returns an error for a host that cannot be a name in DNS.
func checkName(host string) error {
	top := strings.TrimSuffix(host, ".")
	top = top[strings.LastIndexByte(top, '.')+1:]
	if _, ok := dns.IsDomainName(host); !ok || strings.Trim(top, "0123456789") == "" {
		return fmt.Errorf("%.80q is not a host name", host)
	}
	return nil
}

// isHost reports whether an IP address can be that of one host.
func isHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// A server is a host name with the transport and port of a service.
type server struct {
	transport sip.Transport
	host      string
	port      uint16
}

// lookup returns the targets of a query with a host name.
func (l *Layer) lookup(ctx context.Context, q query) ([]Target, error) {
	var servers []server
	if q.port == 0 {
		for _, services := range [][]service{l.advertisedServices(ctx, q), q.usualServices()} {
			if servers = l.servers(ctx, services); len(servers) > 0 {
				break
			}
		}
	}
	if len(servers) == 0 {
		t := q.defaultTransport()
		servers = []server{{t, q.host, cmp.Or(q.port, t.DefaultPort())}}
	}
	return l.addresses(ctx, q.host, servers[:min(len(servers), maxTargets)])
}

// servers returns the servers of services, in their order, and those of one service in that
// of priority and weight (RFC 2782).
func (l *Layer) servers(ctx context.Context, services []service) []server {
	found := make([][]server, len(services))
	each(len(services), func(i int) {
		s := services[i]
		if s.host != "" {
			found[i] = []server{{s.transport, s.host, s.transport.DefaultPort()}}
			return
		}
		// If the name does not exist, the lookup of addresses fails below.
		_, records, _ := l.resolver().LookupSRV(ctx, "", "", s.srv)
		for _, r := range records[:min(len(records), maxTargets)] {
			found[i] = append(found[i], server{s.transport, strings.TrimSuffix(r.Target, "."), r.Port})
		}
	})
	return slices.Concat(found...)
}

// addresses returns the targets for the addresses of servers. They are different, and at
// most maxTargets. If there are none, the error is that of the first server. TLS
// certificates must be valid for name, the host in the URI (RFC 3263 section 4.1).
func (l *Layer) addresses(ctx context.Context, name string, servers []server) (ts []Target, err error) {
	found := make([][]netip.Addr, len(servers))
	errs := make([]error, len(servers))
	each(len(servers), func(i int) {
		if host := servers[i].host; host == "" || servers[i].port == 0 { // RFC 2782: the service does not exist
			errs[i] = errors.New("no server for the service")
		} else {
			found[i], errs[i] = l.resolver().LookupNetIP(ctx, "ip", host)
		}
	})
	for i, s := range servers {
		for _, ip := range found[i] {
			t := Target{s.transport, netip.AddrPortFrom(ip.Unmap(), s.port), name}
			if len(ts) < maxTargets && isHost(t.Addr.Addr()) && !slices.Contains(ts, t) {
				ts = append(ts, t)
			}
		}
	}
	if len(ts) == 0 {
		return nil, fmt.Errorf("look up %s: %w", servers[0].host, cmp.Or(errs[0], errors.New("no address of a host")))
	}
	return ts, nil
}

// each calls f for the numbers below n, concurrently.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func (l *Layer) resolver() *net.Resolver {
	if l.opt.Resolver != nil {
		return l.opt.Resolver
	}
	return net.DefaultResolver
}
