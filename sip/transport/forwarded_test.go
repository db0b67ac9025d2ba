package transport

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func proxyNetworks(networks ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, n := range networks {
		list = append(list, netip.MustParsePrefix(n))
	}
	return list
}

// TestForwardedFor checks that the addresses appended by proxies are used, and none that a client
// has claimed.
func TestForwardedFor(t *testing.T) {
	l := New(Options{})
	l.Configure(Settings{Proxies: proxyNetworks("127.0.0.1/32", "10.0.0.0/24", "2001:db8:ffff::/48")})
	for _, tt := range []struct{ from, fields, want string }{
		{"127.0.0.1:4000", "203.0.113.5", "203.0.113.5:4000"},
		{"[::ffff:127.0.0.1]:4000", "203.0.113.5", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "", "127.0.0.1:4000"},
		{"127.0.0.1:4000", "203.0.113.5:6000", "203.0.113.5:6000"},
		{"127.0.0.1:4000", "203.0.113.5:0", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "2001:db8::5", "[2001:db8::5]:4000"},
		{"127.0.0.1:4000", "[2001:db8::5]", "[2001:db8::5]:4000"},
		{"127.0.0.1:4000", "[2001:db8::5]:6000", "[2001:db8::5]:6000"},
		{"127.0.0.1:4000", `"[2001:db8::5]:6000"`, "[2001:db8::5]:6000"},
		{"127.0.0.1:4000", "::ffff:203.0.113.5", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "fe80::5%eth0", "[fe80::5]:4000"},

		// A chain: only the addresses appended by proxies count.
		{"127.0.0.1:4000", "192.0.2.66, 203.0.113.5", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "192.0.2.66|203.0.113.5", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "203.0.113.5,10.0.0.7", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "192.0.2.66 , 203.0.113.5\t,10.0.0.7|2001:db8:ffff::1", "203.0.113.5:4000"},
		{"127.0.0.1:4000", "10.0.0.8, 10.0.0.7", "10.0.0.8:4000"},
		{"127.0.0.1:4000", ",203.0.113.5,, ,", "203.0.113.5:4000"},
		{"127.0.0.1:4000", `"192.0.2.66, 203.0.113.5`, "203.0.113.5:4000"},
		{"127.0.0.1:4000", "127.0.0.1, 203.0.113.5", "203.0.113.5:4000"},

		// The client is not known: that of the last proxy is the address.
		{"127.0.0.1:4000", "unknown", "127.0.0.1:4000"},
		{"127.0.0.1:4000", "192.0.2.66, _hidden, 10.0.0.7", "10.0.0.7:4000"},
		{"127.0.0.1:4000", "203.0.113.5.6", "127.0.0.1:4000"},
		{"127.0.0.1:4000", "[203.0.113.5", "127.0.0.1:4000"},
		{"127.0.0.1:4000", "203.0.113.5:66000", "127.0.0.1:4000"},
		{"127.0.0.1:4000", ", ,", "127.0.0.1:4000"},

		// Others are not believed.
		{"192.0.2.66:4000", "203.0.113.5", "192.0.2.66:4000"},
		{"[2001:db8::66]:4000", "127.0.0.1", "[2001:db8::66]:4000"},
	} {
		r := &http.Request{RemoteAddr: tt.from, Header: http.Header{}}
		for v := range strings.SplitSeq(tt.fields, "|") {
			r.Header.Add("X-Forwarded-For", v)
		}
		r.Header.Set("Forwarded", "for=198.51.100.9")
		r.Header.Set("X-Real-IP", "198.51.100.9")
		if got := l.client(r).String(); got != tt.want {
			t.Errorf("%s, %q: got %s, want %s", tt.from, tt.fields, got, tt.want)
		}
	}
}

// FuzzForwardedFor checks that nothing before the address that a proxy has appended has an
// effect.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "203.0.113.5", `"[2001:db8::5]:6000"`, "unknown, [::1", ",,", "10.0.0.7, fe80::1%x", "\x00\xff"} {
		f.Add(seed, seed)
	}
	proxy, client := netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("203.0.113.5:6000")
	isProxy := func(a netip.Addr) bool { return a == proxy.Addr() }
	f.Fuzz(func(t *testing.T, a, b string) {
		if got := forwardedFor([]string{a, b}, proxy, isProxy); !got.IsValid() || got.Port() == 0 || got.Addr().Zone() != "" || got.Addr().Is4In6() {
			t.Errorf("%q, %q: %s", a, b, got)
		}
		for _, values := range [][]string{{a, b + "," + client.String()}, {a + client.String(), client.String()}, {a, b, client.String() + ", " + proxy.String()}} {
			if got := forwardedFor(values, proxy, isProxy); got != client {
				t.Errorf("%q: %s", values, got)
			}
		}
	})
}
