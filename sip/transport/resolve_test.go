package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"silod/sip"
)

// zone returns a resolver that uses a name server on loopback. Records have the form "name A
// 192.0.2.1" or "name SRV priority port target".
func zone(t *testing.T, records ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := answerDNS(buf[:n], records); reply != nil {
				_, _ = pc.WriteTo(reply, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// answerDNS returns the answer to a query, or nil if it is malformed.
func answerDNS(query []byte, records []string) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	known := false
	for _, r := range records {
		f := strings.Fields(r)
		if !strings.EqualFold(f[0]+".", q.Name.String()) {
			continue
		}
		known = true
		var body dnsmessage.ResourceBody
		switch {
		case f[1] == "A" && q.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: netip.MustParseAddr(f[2]).As4()}
		case f[1] == "SRV" && q.Type == dnsmessage.TypeSRV:
			var priority, port uint16
			_, _ = fmt.Sscan(f[2], &priority)
			_, _ = fmt.Sscan(f[3], &port)
			body = &dnsmessage.SRVResource{Priority: priority, Port: port, Target: dnsmessage.MustNewName(f[4] + ".")}
		default:
			continue
		}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: body})
	}
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	reply, _ := m.Pack()
	return reply
}

// TestResolve checks the targets of URIs and their order (RFC 3263 section 4).
func TestResolve(t *testing.T) {
	s := New(Options{Resolver: zone(t,
		"a.example A 192.0.2.1", "b.example A 192.0.2.2", "plain.example A 192.0.2.3",
		"_sip._udp.example.org SRV 20 5070 b.example", "_sip._udp.example.org SRV 10 5060 a.example",
		"_sip._tcp.example.org SRV 10 5080 a.example", "_sips._tcp.example.org SRV 10 5071 b.example",
		"example.org A 192.0.2.9",
	)})
	for _, tc := range []struct{ uri, want string }{
		{"sip:bob@192.0.2.7", "udp:192.0.2.7:5060"},
		{"sip:bob@192.0.2.7:5070;transport=TCP", "tcp:192.0.2.7:5070"},
		{"sip:bob@[2001:db8::1]", "udp:[2001:db8::1]:5060"},
		{"sip:bob@192.0.2.7;transport", "udp:192.0.2.7:5060"},
		{"sips:bob@192.0.2.7", "tls:192.0.2.7:5061"},
		{"sip:bob@a.example:5090", "udp:192.0.2.1:5090"},
		{"sip:bob@plain.example", "udp:192.0.2.3:5060"},
		{"sips:bob@plain.example", "tls:192.0.2.3:5061"},
		{"sip:bob@example.org", "udp:192.0.2.1:5060 udp:192.0.2.2:5070 tcp:192.0.2.1:5080 tls:192.0.2.2:5071"},
		{"sip:bob@example.org;transport=tcp", "tcp:192.0.2.1:5080"},
		{"sips:bob@example.org", "tls:192.0.2.2:5071"},
		{"sip:bob@nowhere.example", "look up nowhere.example"},
	} {
		u, err := sip.ParseURI(tc.uri)
		if err != nil {
			t.Fatal(err)
		}
		ts, err := s.Resolve(t.Context(), u)
		var got []string
		for _, x := range ts {
			got = append(got, x.Transport.String()+":"+x.Addr.String())
			if x.Name != u.Host {
				t.Errorf("%s: the name for the certificate is %s", tc.uri, x.Name)
			}
		}
		if err != nil {
			got = strings.Split(err.Error(), ":")[:1]
		}
		if !slices.Equal(got, strings.Split(tc.want, " ")) && strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", tc.uri, got, tc.want)
		}
	}
}
