package transport

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"silod/sip"
)

// A service is a transport over which a domain can be reached, and the name where its
// servers are found.
type service struct {
	transport sip.Transport
	srv       string // of SRV records
	host      string // of address records, instead
}

// usualServices returns the services of a host without NAPTR records, in the order of our
// preference (RFC 3263 section 4.1): TLS first, then UDP, which needs no connection.
func (q *query) usualServices() (ss []service) {
	for _, s := range []service{
		{transport: sip.TLS, srv: "_sips._tcp."},
		{transport: sip.UDP, srv: "_sip._udp."},
		{transport: sip.TCP, srv: "_sip._tcp."},
	} {
		if q.accepts(s.transport) {
			if s.srv += q.host; !isLocalName(q.host) {
				s.srv = dns.Fqdn(s.srv)
			}
			ss = append(ss, s)
		}
	}
	return ss
}

// accepts reports whether a request may be sent over a transport.
func (q *query) accepts(t sip.Transport) bool {
	return (q.transport == 0 || q.transport == t) && (!q.secure || t.Secure())
}

// isLocalName reports whether a name has a single label, which the system completes with the
// domains that it searches.
func isLocalName(host string) bool { return !strings.Contains(strings.TrimSuffix(host, "."), ".") }

// naptrServices are the services of NAPTR records that we support (RFC 3263 section 4.1).
var naptrServices = map[string]sip.Transport{"SIPS+D2T": sip.TLS, "SIP+D2U": sip.UDP, "SIP+D2T": sip.TCP}

// advertisedServices returns the services of the host's NAPTR records, in their order. They
// are not looked up if the URI has a transport.
func (l *Layer) advertisedServices(ctx context.Context, q query) (ss []service) {
	if q.transport != 0 || isLocalName(q.host) {
		return nil
	}
	records := l.lookupNAPTR(ctx, q.host)
	// The order is the domain's. Among records of one order the client may choose (RFC 3403
	// section 4.1), and chooses TLS.
	slices.SortStableFunc(records, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Preference, b.Preference))
	})
	for _, r := range records {
		s := service{transport: naptrServices[strings.ToUpper(r.Service)]}
		if s.transport == 0 || !q.accepts(s.transport) || checkName(r.Replacement) != nil {
			continue
		}
		switch strings.ToLower(r.Flags) {
		case "s":
			s.srv = r.Replacement
		case "a":
			s.host = strings.TrimSuffix(r.Replacement, ".")
		default:
			continue
		}
		if ss = append(ss, s); len(ss) == maxTargets {
			break
		}
	}
	return ss
}

// rank returns 0 for a service over TLS, otherwise 1.
func rank(r *dns.NAPTR) int {
	if naptrServices[strings.ToUpper(r.Service)].Secure() {
		return 0
	}
	return 1
}

const (
	naptrTimeout  = 2 * time.Second // for all name servers
	serverTimeout = time.Second     // for one
)

// lookupNAPTR returns the NAPTR records of a name. Package net does not look them up. If it
// cannot, it returns nil: most domains have none.
func (l *Layer) lookupNAPTR(ctx context.Context, name string) []*dns.NAPTR {
	ctx, cancel := context.WithTimeout(ctx, naptrTimeout)
	defer cancel()
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), dns.TypeNAPTR).SetEdns0(1232, false)
	for _, server := range nameServers() {
		reply, err := l.exchange(ctx, "udp", server, m)
		if err == nil && reply.Truncated {
			reply, err = l.exchange(ctx, "tcp", server, m)
		}
		if err != nil || reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
			continue
		}
		var records []*dns.NAPTR
		for _, r := range reply.Answer {
			if r, ok := r.(*dns.NAPTR); ok {
				records = append(records, r)
			}
		}
		return records
	}
	return nil
}

// exchange sends a query to a name server. It connects as the resolver does.
func (l *Layer) exchange(ctx context.Context, network, server string, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, serverTimeout)
	defer cancel()
	dial := l.resolver().Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	reply, _, err := new(dns.Client).ExchangeWithConnContext(ctx, m, &dns.Conn{Conn: c})
	if err == nil && !reply.Response {
		return nil, errors.New("not a response")
	}
	return reply, err
}

// nameServers returns the addresses of the system's name servers. The file is read each
// time, because it changes with the network.
func nameServers() []string {
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil || len(c.Servers) == 0 {
		return []string{"127.0.0.1:53"} // as package net does
	}
	var servers []string
	for _, s := range c.Servers[:min(len(c.Servers), 3)] {
		servers = append(servers, net.JoinHostPort(s, c.Port))
	}
	return servers
}
