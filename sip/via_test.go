package sip

import (
	"net/netip"
	"strings"
	"testing"

	"silod/sip/internal/siptest"
)

// TestResponseRouting checks the parameters that are added to the topmost Via (RFC 3261
// section 18.2.1, RFC 3581 section 4), and the destination of a response over UDP (RFC 3261
// section 18.2.2).
func TestResponseRouting(t *testing.T) {
	for _, tc := range []struct{ via, from, stamp, to string }{
		{"192.0.2.1:5070", "192.0.2.1:5070", "", "192.0.2.1:5070"},
		{"192.0.2.1", "192.0.2.1:5060", "", "192.0.2.1:5060"},
		{"192.0.2.1", "192.0.2.1:40000", "", "192.0.2.1:5060"},
		{"192.0.2.1:5070;rport", "192.0.2.1:40000", ";rport=40000;received=192.0.2.1", "192.0.2.1:40000"},
		{"10.0.0.1:5070;rport", "192.0.2.1:40000", ";rport=40000;received=192.0.2.1", "192.0.2.1:40000"},
		// A NAT of which the client does not know forwards no other port.
		{"10.0.0.1:5070", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:40000"},
		{"host.example:5070", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:5070"},
		{"host.example;received=192.0.2.9", "192.0.2.1:40000", ";received=192.0.2.1", "192.0.2.1:5060"},
		{"[2001:db8::9:1]", "[2001:db8::9:1]:5060", "", "[2001:db8::9:1]:5060"},
		{"[2001:DB8:0:0::9:1]:5070", "[2001:db8::9:1]:40000", "", "[2001:db8::9:1]:5070"},
		{"[2001:db8::9:1];rport", "[2001:db8::9:1]:40000", ";rport=40000;received=2001:db8::9:1", "[2001:db8::9:1]:40000"},
		{"[2001:db8::9:1]", "[2001:db8::9:2]:40000", ";received=2001:db8::9:2", "[2001:db8::9:2]:40000"},
		{"[::ffff:192.0.2.1]:5070", "192.0.2.1:40000", "", "192.0.2.1:5070"},
		{"[fe80::1]:5070", "[fe80::1%lo]:40000", "", "[fe80::1%lo]:5070"},
		{"x7.invalid;rport", "[fe80::1%lo]:40000", ";rport=40000;received=fe80::1", "[fe80::1%lo]:40000"},
	} {
		sentBy, params, _ := strings.Cut(tc.via, ";")
		value := "SIP/2.0/UDP " + tc.via + ";branch=z9hG4bK1"
		v, err := ParseVia(value)
		if err != nil {
			t.Fatalf("%s: %v", tc.via, err)
		}
		src := netip.MustParseAddrPort(tc.from)
		stamp, ok := strings.CutPrefix(stamped(&v, value, src), "SIP/2.0/UDP "+sentBy)
		got, err := ParseVia("SIP/2.0/UDP " + sentBy + stamp)
		if !ok || err != nil || got.Branch() != "z9hG4bK1" {
			t.Fatalf("%s from %s: stamped %q, %v", tc.via, src, stamp, err)
		}
		want := tc.stamp
		if want == "" && params != "" {
			want = ";" + params
		}
		if s := got.Params.Without("branch").String(); s != want {
			t.Errorf("%s from %s: stamped %q, want %q", tc.via, src, s, want)
		}
		if to := v.ReplyAddr(src); to.String() != tc.to {
			t.Errorf("%s from %s: answered to %s, want %s", tc.via, src, to, tc.to)
		}
	}
}

// FuzzVia checks that a valid Via can be stamped and parsed again, and that stamping changes
// only the parameters that it adds.
func FuzzVia(f *testing.F) {
	for _, raw := range siptest.Torture(f, "..") {
		if m, _ := Parse(raw, false); m != nil {
			for _, v := range m.Values("Via") {
				f.Add(v)
			}
		}
	}
	src := netip.MustParseAddrPort("[2001:db8::1]:5070")
	f.Fuzz(func(t *testing.T, s string) {
		if hasControl(s) || strings.Contains(s, "\n") || topComma(s) >= 0 {
			return // not one value
		}
		v, err := ParseVia(s)
		if err != nil {
			return
		}
		again, err := ParseVia(stamped(&v, s, src))
		if err != nil {
			t.Fatalf("%q is stamped %q: %v", s, stamped(&v, s, src), err)
		}
		if again.Transport != v.Transport || again.Host != v.Host || again.Port != v.Port || again.Branch() != v.Branch() {
			t.Fatalf("%q is stamped %q", s, stamped(&v, s, src))
		}
		if _, rport := v.Params.Get("rport"); rport && again.ReplyAddr(src) != src {
			t.Fatalf("%q is answered to %s", s, again.ReplyAddr(src))
		}
	})
}

// stamped is AppendStamped with a string result.
func stamped(v *Via, value string, src netip.AddrPort) string {
	return string(v.AppendStamped(nil, value, src))
}
