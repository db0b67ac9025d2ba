package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"silod/sip"
)

// A zone is a name server on loopback.
type zone struct {
	records []dns.RR
	addr    string
	queries atomic.Int32
}

// newZone starts a name server with records in the form of a zone file.
func newZone(t *testing.T, records ...string) *zone {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{addr: pc.LocalAddr().String()}
	for _, r := range records {
		rr, err := dns.NewRR(r)
		if err != nil {
			t.Fatal(err)
		}
		z.records = append(z.records, rr)
	}
	server := &dns.Server{PacketConn: pc, Handler: z}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = pc.Close() })
	return z
}

func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	z.queries.Add(1)
	m := new(dns.Msg).SetRcode(q, dns.RcodeNameError)
	for _, r := range z.records {
		if !strings.EqualFold(r.Header().Name, q.Question[0].Name) {
			continue
		}
		m.Rcode = dns.RcodeSuccess
		if r.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, r)
		}
	}
	_ = w.WriteMsg(m)
}

// resolver returns a resolver that uses the zone.
func (z *zone) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", z.addr)
	}}
}

var testZone = []string{
	"a.example A 192.0.2.1", "b.example A 192.0.2.2", "plain.example A 192.0.2.3", "six.example AAAA 2001:db8::6",
	"_sip._udp.example.org SRV 20 0 5070 b.example.", "_sip._udp.example.org SRV 10 0 5060 a.example.",
	"_sip._tcp.example.org SRV 10 0 5080 a.example.", "_sips._tcp.example.org SRV 10 0 5071 b.example.",
	"example.org A 192.0.2.9",

	// The order of a domain, and in one order first TLS, then the preference.
	`naptr.example NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.example.org.`,
	`naptr.example NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.example.org.`,
	`naptr.example NAPTR 10 30 "S" "sips+d2t" "" _sips._tcp.example.org.`,
	`naptr.example NAPTR 10 10 "s" "SIP+D2S" "" _sip._sctp.example.org.`,
	`naptr.example NAPTR 5 10 "u" "E2U+sip" "!^.*$!sip:x@a.example!" .`,
	`naptr.example NAPTR 5 10 "" "SIP+D2U" "" other.example.`,
	`order.example NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.example.org.`,
	`order.example NAPTR 20 10 "s" "SIPS+D2T" "" _sips._tcp.example.org.`,
	`address.example NAPTR 10 10 "a" "SIP+D2T" "" a.example.`,
	// None of these leads to a server.
	`useless.example NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.nowhere.example.`, "_sip._tcp.useless.example SRV 1 0 5099 a.example.",
	`udponly.example NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.example.org.`, "udponly.example A 192.0.2.5",

	"_sip._udp.dual.example SRV 10 0 5060 dual.example.", "dual.example AAAA 2001:db8::1", "dual.example A 192.0.2.1",
	"_sip._udp.twice.example SRV 10 0 5060 a.example.", "_sip._udp.twice.example SRV 20 0 5060 a.example.",
	"_sip._udp.none.example SRV 0 0 0 .", "none.example A 192.0.2.1",
	"_sip._udp.broken.example SRV 0 0 5060 nowhere.example.", "_sip._udp.broken.example SRV 5 0 5060 a.example.",
	"zero.example A 0.0.0.0", "zero.example A 224.0.0.1", "zero.example A 255.255.255.255", "zero.example AAAA ::",
}

// TestResolve checks the targets of URIs and their order (RFC 3263 section 4).
func TestResolve(t *testing.T) {
	s := New(Options{Resolver: newZone(t, testZone...).resolver()})
	for _, tc := range []struct{ uri, want string }{
		{"sip:bob@192.0.2.7", "udp:192.0.2.7:5060"},
		{"sip:bob@192.0.2.7:5070;transport=TCP", "tcp:192.0.2.7:5070"},
		{"sip:bob@[2001:db8::1]", "udp:[2001:db8::1]:5060"},
		{"sip:bob@192.0.2.7;transport", "udp:192.0.2.7:5060"},
		{"sips:bob@192.0.2.7", "tls:192.0.2.7:5061"},
		{"sip:bob@a.example:5090", "udp:192.0.2.1:5090"},
		{"sip:bob@plain.example", "udp:192.0.2.3:5060"},
		{"sip:bob@PLAIN.example.", "udp:192.0.2.3:5060"},
		{"sips:bob@plain.example", "tls:192.0.2.3:5061"},
		{"sip:bob@six.example", "udp:[2001:db8::6]:5060"},
		{"sip:bob@example.org", "tls:192.0.2.2:5071 udp:192.0.2.1:5060 udp:192.0.2.2:5070 tcp:192.0.2.1:5080"},
		{"sip:bob@example.org:5060", "udp:192.0.2.9:5060"},
		{"sips:bob@example.org:5060", "tls:192.0.2.9:5060"},
		{"sip:bob@example.org;transport=tcp", "tcp:192.0.2.1:5080"},
		{"sip:bob@example.org;transport=tls", "tls:192.0.2.2:5071"},
		{"sip:bob@example.org;maddr=192.0.2.66;transport=tcp", "tcp:192.0.2.1:5080"},
		{"sips:bob@example.org", "tls:192.0.2.2:5071"},
		{"sips:bob@example.org;transport=udp", "tls:192.0.2.2:5071"},
		{"sips:bob@example.org;transport=tcp", "tls:192.0.2.2:5071"},
		{"sips:bob@192.0.2.7:443;transport=ws", "wss:192.0.2.7:443"},
		{"sip:bob@nowhere.example", "look up nowhere.example"},

		{"sip:bob@naptr.example", "tls:192.0.2.2:5071 udp:192.0.2.1:5060 udp:192.0.2.2:5070 tcp:192.0.2.1:5080"},
		{"sip:bob@order.example", "udp:192.0.2.1:5060 udp:192.0.2.2:5070 tls:192.0.2.2:5071"},
		{"sips:bob@order.example", "tls:192.0.2.2:5071"},
		{"sip:bob@address.example", "tcp:192.0.2.1:5060"},
		{"sip:bob@naptr.example;transport=tcp", "look up naptr.example"}, // a transport selects SRV records, and NAPTR is for its selection
		{"sip:bob@naptr.example:5060", "look up naptr.example"},
		{"sip:bob@useless.example", "tcp:192.0.2.1:5099"},
		{"sips:bob@udponly.example", "tls:192.0.2.5:5061"},

		{"sip:bob@twice.example", "udp:192.0.2.1:5060"},
		{"sip:bob@none.example", "look up "},
		{"sip:bob@broken.example", "udp:192.0.2.1:5060"},
		{"sip:bob@zero.example", "look up zero.example"},
		{"sip:bob@0.0.0.0", "0.0.0.0 is not the address of a host"},
		{"sip:bob@255.255.255.255", "255.255.255.255 is not the address of a host"},
		{"sip:bob@[ff02::1]", "ff02"},
		{"sip:bob@example.org;transport=sctp", `transport "sctp" is not supported`},
		{"sip:bob@127.1", `"127.1" is not a host name`},
		{"sip:bob@" + strings.Repeat("a", 64) + ".example", `"` + strings.Repeat("a", 64) + `.example" is not a host name`},
		{"sip:bob@" + strings.Repeat("a.", 130) + "example", `"` + strings.Repeat("a.", 40) + `" is not a host name`},
	} {
		u, err := sip.ParseURI(tc.uri)
		if err != nil {
			t.Fatal(err)
		}
		got, err := targets(t, s, u)
		if err != nil {
			got, _, _ = strings.Cut(err.Error(), ":")
		}
		if got != tc.want {
			t.Errorf("%s: %s, want %s", tc.uri, got, tc.want)
		}
	}
	u, _ := sip.ParseURI("sip:bob@dual.example")
	if got, err := targets(t, s, u); err != nil || !strings.Contains(got, "udp:192.0.2.1:5060") || !strings.Contains(got, "udp:[2001:db8::1]:5060") {
		t.Errorf("%s: %s, %v", u, got, err) // their order is that of the system (RFC 6724)
	}
}

// targets returns the targets of a URI as text.
func targets(t *testing.T, s *Layer, u sip.URI) (string, error) {
	t.Helper()
	ts, err := s.Resolve(t.Context(), u)
	var got []string
	for _, x := range ts {
		got = append(got, x.Transport.String()+":"+x.Addr.String())
		if x.Name != u.Host {
			t.Errorf("%s: the name for the certificate is %s", u, x.Name)
		}
		if u.Scheme == "sips" && !x.Transport.Secure() {
			t.Errorf("%s: %s is not confidential", u, x.Addr)
		}
	}
	return strings.Join(got, " "), err
}

// TestResolveIsBounded checks the number of targets of a domain with many servers, and that
// they are the preferred ones.
func TestResolveIsBounded(t *testing.T) {
	var records []string
	for i := range 20 {
		records = append(records, fmt.Sprintf("_sip._udp.many.example SRV %d 0 5060 host%d.example.", i, i),
			fmt.Sprintf("host%d.example A 192.0.2.%d", i, 2*i+1), fmt.Sprintf("host%d.example A 192.0.2.%d", i, 2*i+2))
	}
	records = append(records, "_sips._tcp.many.example SRV 9 0 5061 host9.example.")
	s := New(Options{Resolver: newZone(t, records...).resolver()})
	ts, err := s.Resolve(t.Context(), sip.URI{Scheme: "sip", Host: "many.example"})
	if err != nil || len(ts) != maxTargets || ts[0].Transport != sip.TLS || ts[2].Addr.String() != "192.0.2.1:5060" {
		t.Errorf("%v, %v", ts, err)
	}
}

// TestResolveShares checks that concurrent and repeated calls for one host share a lookup.
func TestResolveShares(t *testing.T) {
	z := newZone(t, testZone...)
	s := New(Options{Resolver: z.resolver()})
	u := sip.URI{Scheme: "sip", Host: "example.org"}
	first, err := s.Resolve(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	once := z.queries.Load()
	slices.Reverse(first) // the caller owns it
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if ts, err := s.Resolve(t.Context(), u); err != nil || ts[0].Transport != sip.TLS {
				t.Errorf("%v, %v", ts, err)
			}
		})
		wg.Go(func() {
			if _, err := s.Resolve(t.Context(), sip.URI{Scheme: "sips", Host: "naptr.example"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := z.queries.Load(); n > 2*once {
		t.Errorf("%d queries for one lookup, %d for 200 more", once, n-once)
	}
}

// TestResolveWithoutNameServer checks that a lookup ends, and a call with its context, when
// the name servers are silent.
func TestResolveWithoutNameServer(t *testing.T) {
	// The first lookup of a process makes a channel that package net keeps. If that is one of the
	// bubble, later lookups outside of it panic.
	refused := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }}
	if _, err := refused.LookupHost(t.Context(), "example.org."); err == nil {
		t.Fatal("a name is found without a server")
	}
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			near, _ := net.Pipe()
			return near, nil
		}}})
		u, start := sip.URI{Scheme: "sip", Host: "example.org"}, time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Resolve(short, u); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if _, err := s.Resolve(t.Context(), u); err == nil || time.Since(start) > resolveTimeout+time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(time.Minute) // for the goroutines of the resolver
	})
}
