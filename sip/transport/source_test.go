package transport

import (
	"net/netip"
	"testing"
)

// TestSourceOf checks from which address silod opens connections.
func TestSourceOf(t *testing.T) {
	for _, tt := range []struct {
		listen []string
		peer   string
		want   string // "": the system's choice
	}{
		{[]string{"192.0.2.1:5060"}, "198.51.100.1", "192.0.2.1:0"},
		{[]string{"192.0.2.1:5060", "192.0.2.1:5062"}, "198.51.100.1", "192.0.2.1:0"},
		{[]string{"192.0.2.1:5060", "10.0.0.1:5060"}, "198.51.100.1", ""},
		{[]string{"0.0.0.0:5060"}, "198.51.100.1", ""},
		{[]string{"192.0.2.1:5060"}, "2001:db8::1", ""},
		{[]string{"192.0.2.1:5060", "[2001:db8::2]:5060"}, "2001:db8::1", "[2001:db8::2]:0"},
		{[]string{"127.0.0.1:5060"}, "198.51.100.1", ""},
		{[]string{"127.0.0.2:5060"}, "127.0.0.3", "127.0.0.2:0"},
		{[]string{"192.0.2.1:5060"}, "127.0.0.1", ""},
		{nil, "198.51.100.1", ""},
	} {
		l := &Layer{}
		for _, a := range tt.listen {
			l.udp = append(l.udp, &udpSocket{local: netip.MustParseAddrPort(a)})
		}
		got := ""
		if a := l.sourceOf(netip.MustParseAddr(tt.peer)); a != nil {
			got = a.String()
		}
		if got != tt.want {
			t.Errorf("on %v to %s: %q, want %q", tt.listen, tt.peer, got, tt.want)
		}
	}
}
