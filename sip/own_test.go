package sip

import (
	"net/netip"
	"testing"
)

// TestOwnAddresses checks which next hops are the server itself.
func TestOwnAddresses(t *testing.T) {
	listen := func(addrs ...string) (ls []Listener) {
		for _, a := range addrs {
			ls = append(ls, Listener{UDP, netip.MustParseAddrPort(a)})
		}
		return ls
	}
	one := OwnAddresses{Listen: listen("192.0.2.1:5060"), Domains: NewDomains("example.org", "192.0.2.1")}
	loopback := OwnAddresses{Listen: listen("127.0.0.1:5070", "[::1]:5071"), Domains: NewDomains("127.0.0.1", "localhost")}
	all := OwnAddresses{
		Listen: listen("0.0.0.0:5060", "[::]:5060"), Hostname: "Sip1.example.net", Domains: NewDomains("example.org"),
		Machine: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
	nat := OwnAddresses{Listen: listen("10.0.0.1:5062"), Advertise: "203.0.113.5:5060", Domains: NewDomains("example.org")}
	named := OwnAddresses{Listen: listen("10.0.0.1:5062"), Advertise: "sip.example.org", Domains: NewDomains("example.org")}
	for _, tt := range []struct {
		of   *OwnAddresses
		uri  string
		want bool
	}{
		{&one, "sip:192.0.2.1", true},
		{&one, "sip:192.0.2.1:5060", true},
		{&one, "sip:bob@192.0.2.1:5060;transport=tcp;x=1", true},
		{&one, "sip:192.0.2.1;transport=ws", true}, // the port is 5060 too
		{&one, "sip:192.0.2.1;lr", true},
		{&one, "sip:[::ffff:192.0.2.1]", true},
		{&one, "sip:192.0.2.1:5080", false}, // another server on this machine
		{&one, "sip:192.0.2.1;transport=tls", false},
		{&one, "sips:192.0.2.1", false},
		{&one, "sips:192.0.2.1:5060", true},
		{&one, "sip:192.0.2.2", false},
		{&one, "sip:0.0.0.0", false},
		{&one, "sip:localhost", false},
		{&one, "sip:example.org", true},
		{&one, "sip:EXAMPLE.org.", true},
		{&one, "sips:example.org", true},
		{&one, "sip:example.org:5060", true},
		{&one, "sip:example.org:5080", false},
		{&one, "sip:proxy.example.org", false},
		{&one, "tel:+1", false},

		{&loopback, "sip:127.0.0.1:5070", true},
		{&loopback, "sip:localhost:5070", true},
		{&loopback, "sip:localhost:5071", true},
		{&loopback, "sip:LocalHost:5071;transport=udp", true},
		{&loopback, "sip:[0:0::1]:5071", true},
		{&loopback, "sip:0.0.0.0:5070", true},
		{&loopback, "sip:[::]:5071", true},
		{&loopback, "sip:[::1]:5070", false},
		{&loopback, "sip:127.0.0.1", false}, // Kamailio on port 5060
		{&loopback, "sip:localhost", false},
		{&loopback, "sip:127.0.0.1:5060", false},
		{&loopback, "sip:127.0.0.2:5070", false},

		{&all, "sip:192.0.2.1", true},
		{&all, "sip:[2001:DB8:0::1]", true},
		{&all, "sip:127.0.0.1", true},
		{&all, "sip:127.8.9.10", true},
		{&all, "sip:[::1]", true},
		{&all, "sip:localhost", true},
		{&all, "sip:0.0.0.0", true},
		{&all, "sip:sip1.example.NET", true},
		{&all, "sip:sip1.example.net:5061", false},
		{&all, "sip:192.0.2.2", false},

		{&nat, "sip:203.0.113.5", true},
		{&nat, "sip:203.0.113.5:5060;transport=tcp", true},
		{&nat, "sip:203.0.113.5:5062", false},
		{&nat, "sip:10.0.0.1:5062", true},
		{&nat, "sip:10.0.0.1", false},
		{&named, "sip:sip.example.org", true},
		{&named, "sip:sip.example.org:5062", true},
		{&named, "sip:sip.example.org:5060", false},
	} {
		u, err := ParseURI(tt.uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.of.IsNextHop(u); got != tt.want {
			t.Errorf("%s is the server on %v: %v, want %v", tt.uri, tt.of.Listen, got, tt.want)
		}
	}
}
