package transport

import (
	"net/netip"
	"testing"

	"silod/sip"
)

// TestLocalOf checks the local address of a datagram's flow, given its control message.
func TestLocalOf(t *testing.T) {
	const any4, any6 = "0.0.0.0:5060", "[::]:5060"
	for _, tc := range []struct{ socket, destination, remote, want string }{
		{any4, "192.0.2.1", "192.0.2.9", "192.0.2.1:5060"},
		{any4, "224.0.1.75", "192.0.2.9", any4},
		{any4, "0.0.0.0", "192.0.2.9", any4},
		{any4, "", "192.0.2.9", any4},
		{any6, "2001:db8::1", "2001:db8::9", "[2001:db8::1]:5060"},
		{any6, "ff02::1", "2001:db8::9", any6},
		{any6, "::", "2001:db8::9", any6},
		{any6, "", "2001:db8::9", any6},
		{any6, "fe80::1", "fe80::9%eth7", "[fe80::1%eth7]:5060"},
		{any6, "fe80::1", "2001:db8::9", any6}, // the interface is not known
	} {
		u := &udpSocket{local: netip.MustParseAddrPort(tc.socket), info: &packetInfo{}}
		var control []byte
		if tc.destination != "" {
			control = newControlMessage(netip.MustParseAddr(tc.destination))
		}
		if got := u.localOf(control, netip.MustParseAddr(tc.remote)); got.String() != tc.want {
			t.Errorf("%s, datagram to %s from %s: %s, want %s", tc.socket, tc.destination, tc.remote, got, tc.want)
		}
	}
	specific := &udpSocket{local: netip.MustParseAddrPort("192.0.2.1:5060")}
	if got := specific.localOf(nil, netip.MustParseAddr("192.0.2.9")); got != specific.local {
		t.Errorf("a socket with one address: %s", got)
	}
}

// TestSocketFor checks the socket that flows are sent from, also those of an earlier process
// with other listeners.
func TestSocketFor(t *testing.T) {
	wildcard := func(local string) *udpSocket {
		return &udpSocket{local: netip.MustParseAddrPort(local), info: &packetInfo{}}
	}
	l := New(Options{})
	l.udp = []*udpSocket{
		{local: netip.MustParseAddrPort("192.0.2.1:5060")},
		wildcard("0.0.0.0:5070"),
		wildcard("[::]:5070"),
		{local: netip.MustParseAddrPort("192.0.2.2:5060")},
	}
	for _, tc := range []struct{ flow, want string }{
		{"udp:192.0.2.2:5060>198.51.100.1:5060", "192.0.2.2:5060"},
		{"udp:192.0.2.2:5070>198.51.100.1:5060", "0.0.0.0:5070"},
		{"udp:0.0.0.0:5070>198.51.100.1:5060", "0.0.0.0:5070"},
		{"udp:192.0.2.3:5060>198.51.100.1:5060", "192.0.2.1:5060"},
		{"udp:[2001:db8::1]:5070>[2001:db8::2]:5060", "[::]:5070"},
		{"udp:[2001:db8::1]:5060>[2001:db8::2]:5060", "[::]:5070"},
		{"udp:[fe80::1%eth0]:5070>[fe80::2%eth0]:5060", "[::]:5070"},
	} {
		f := mustParseFlow(t, tc.flow)
		if u := l.socketFor(f); u == nil || u.local.String() != tc.want {
			t.Errorf("%s: %v, want %s", tc.flow, u, tc.want)
		}
	}
}

func mustParseFlow(t *testing.T, s string) sip.Flow {
	t.Helper()
	f, err := sip.ParseFlow(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
