package limit

import (
	"net/netip"
	"testing"
)

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "0.0.0.0": "0.0.0.0", "::1": "::/64",
		"2001:db8::1": "2001:db8::/64", "2001:db8:0:0:ffff::1": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64",
		"fe80::1%eth0": "fe80::/64",
	} {
		if n := NetworkOf(netip.MustParseAddr(in)); n.String() != want || !n.IsValid() {
			t.Errorf("%s is in %s, want %s", in, n, want)
		}
	}
	if NetworkOf(netip.Addr{}).IsValid() {
		t.Error("the zero address is in a network")
	}
}
