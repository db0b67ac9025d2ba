package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"
)

// block returns a header of version 2 with the given command, family and protocol.
func block(command, family byte, rest string) string {
	b := append([]byte(proxyPrefixV2), command, family)
	return string(binary.BigEndian.AppendUint16(b, uint16(len(rest)))) + rest
}

// withChecksum appends a TLV with the checksum to a header of version 2.
func withChecksum(header string) string {
	b := []byte(header + "\x03\x00\x04\x00\x00\x00\x00")
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-16))
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, castagnoli))
	return string(b)
}

const (
	v4Addrs = "\xcb\x00\x71\x05" + "\xc0\x00\x02\x01" + "\x9c\x40" + "\x13\xc5" // 203.0.113.5:40000 to 192.0.2.1:5061
	v6Addrs = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x05" + "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x9c\x40" + "\x13\xc5"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xcb\x00\x71\x05" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x9c\x40" + "\x13\xc5"
	client4, client6 = "203.0.113.5:40000", "[2001:db8::5]:40000"
)

// proxyHeaders are headers with the client's address, "" if it is that of the proxy.
var proxyHeaders = []struct {
	header, client string
	err            error
}{
	{"PROXY TCP4 203.0.113.5 192.0.2.1 40000 5061\r\n", client4, nil},
	{"PROXY TCP6 2001:db8::5 2001:db8::1 40000 5061\r\n", client6, nil},
	{"PROXY TCP6 ::ffff:203.0.113.5 ::ffff:192.0.2.1 40000 5061\r\n", client4, nil},
	{"PROXY TCP6 ffff:f:f:f:f:f:f:ffff ffff:f:f:f:f:f:f:fffe 65535 65535\r\n", "[ffff:f:f:f:f:f:f:ffff]:65535", nil},
	{"PROXY UNKNOWN\r\n", "", nil},
	{"PROXY UNKNOWN 203.0.113.5 192.0.2.1 40000 5061\r\n", "", nil},
	{"PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", "", nil}, // the maximum of 107 bytes

	{"PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.5 192.0.2.1 40000 5061\n", "", errBadProxyHeader},
	{"PROXY \n", "", errBadProxyHeader},
	{"PROXY \r\n", "", errBadProxyHeader},
	{"PROXY TCP4\r\n", "", errBadProxyHeader},
	{"PROXY TCP5 203.0.113.5 192.0.2.1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY tcp4 203.0.113.5 192.0.2.1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 2001:db8::5 2001:db8::1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP6 203.0.113.5 192.0.2.1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP6 fe80::5%eth0 fe80::1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.05 192.0.2.1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.5 192.0.2.1 040000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.5 192.0.2.1 40000 65536\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.5 192.0.2.1 -1 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4  203.0.113.5 192.0.2.1 40000 5061\r\n", "", errBadProxyHeader},
	{"PROXY TCP4 203.0.113.5 192.0.2.1 40000 5061 \r\n", "", errBadProxyHeader},
	{"PROXY sip:bob@example.org SIP/2.0\r\n", "", errBadProxyHeader},

	{block(0x21, 0x11, v4Addrs), client4, nil},
	{block(0x21, 0x21, v6Addrs), client6, nil},
	{block(0x21, 0x21, mapped), client4, nil},
	{block(0x21, 0x11, v4Addrs+"\x04\x00\x02\x00\x00\x20\x00\x00"), client4, nil}, // other TLVs
	{withChecksum(block(0x21, 0x11, v4Addrs)), client4, nil},
	{withChecksum(block(0x21, 0x21, v6Addrs+"\x02\x00\x0bexample.org")), client6, nil},
	{block(0x20, 0x00, ""), "", nil}, // LOCAL
	{block(0x20, 0x11, v4Addrs), "", nil},
	{block(0x20, 0xff, "anything"), "", nil},
	{block(0x21, 0x00, "anything"), "", nil}, // UNSPEC
	{block(0x21, 0x10, v4Addrs), "", nil},
	{block(0x21, 0x12, v4Addrs), "", nil}, // UDP
	{block(0x21, 0x31, strings.Repeat("/", 216)), "", nil},
	{block(0x21, 0x32, strings.Repeat("/", 216)), "", nil},
	{block(0x21, 0x11, v4Addrs+"\x04\x0f\xe1"+strings.Repeat("\x00", 4096-16-12-3)), client4, nil}, // the maximum

	{block(0x21, 0x11, v4Addrs+strings.Repeat("\x00", 4096-16-12+1)), "", errBadProxyHeader},
	{block(0x20, 0x00, strings.Repeat("\x00", 65535)), "", errBadProxyHeader},
	{block(0x11, 0x11, v4Addrs), "", errBadProxyHeader}, // version 1
	{block(0x22, 0x11, v4Addrs), "", errBadProxyHeader}, // an unassigned command
	{block(0x21, 0x41, v4Addrs), "", errBadProxyHeader}, // an unassigned family
	{block(0x21, 0x13, v4Addrs), "", errBadProxyHeader}, // an unassigned protocol
	{block(0x21, 0x11, v4Addrs[:11]), "", errBadProxyHeader},
	{block(0x21, 0x21, v4Addrs), "", errBadProxyHeader},
	{block(0x21, 0x31, v6Addrs), "", errBadProxyHeader},
	{block(0x21, 0x11, v4Addrs+"\x04\x00"), "", errBadProxyHeader},
	{block(0x21, 0x11, v4Addrs+"\x04\x00\x01"), "", errBadProxyHeader},
	{block(0x21, 0x11, v4Addrs+"\x03\x00\x03abc"), "", errBadProxyHeader},
	{block(0x21, 0x11, v4Addrs+"\x03\x00\x04abcd"), "", errProxyChecksum},
	{strings.Replace(withChecksum(block(0x21, 0x11, v4Addrs)), "\xcb\x00\x71\x05", "\xcb\x00\x71\x06", 1), "", errProxyChecksum},

	{"REGISTER sip:example.org SIP/2.0\r\n", "", errNoProxyHeader},
	{"\x16\x03\x01", "", errNoProxyHeader}, // TLS
	{"GET / HTTP/1.1\r\n", "", errNoProxyHeader},
	{"proxy TCP4", "", errNoProxyHeader},
	{"\r\n\r\nREGISTER", "", errNoProxyHeader},
	{"PROXYING", "", errNoProxyHeader},
}

func TestProxyHeader(t *testing.T) {
	for _, tt := range proxyHeaders {
		const more = "REGISTER sip:example.org SIP/2.0\r\n"
		client, n, err := parseProxyHeader([]byte(tt.header + more))
		want := netip.AddrPort{}
		if tt.client != "" {
			want = netip.MustParseAddrPort(tt.client)
		}
		if client != want || !errors.Is(err, tt.err) || (err == nil) != (n == len(tt.header)) {
			t.Errorf("%q: %v, %d bytes, %v", tt.header, client, n, err)
		}
		for i := range len(tt.header) {
			// Each part of a valid header is incomplete. One of another header may be.
			_, n, err := parseProxyHeader([]byte(tt.header[:i]))
			if tt.err == nil && !errors.Is(err, errPartialProxyHeader) || n != 0 {
				t.Errorf("%q: %d bytes, %v", tt.header[:i], n, err)
			}
		}
	}
}

// FuzzProxyHeader checks that the result does not depend on the bytes after a header, nor on
// how many of its bytes have arrived before, and that headers are bounded.
func FuzzProxyHeader(f *testing.F) {
	for _, tt := range proxyHeaders {
		f.Add([]byte(tt.header), 1)
	}
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		client, n, err := parseProxyHeader(b)
		if n < 0 || n > min(len(b), maxProxyHeader) || (err == nil) != (n > 0) || client.IsValid() && client.Addr().Is4In6() {
			t.Fatalf("%v, %d bytes, %v", client, n, err)
		}
		if errors.Is(err, errPartialProxyHeader) && len(b) >= maxProxyHeader {
			t.Fatalf("%d bytes are no complete header", len(b))
		}
		if at = max(0, min(at, len(b))); !errors.Is(err, errPartialProxyHeader) {
			if _, m, early := parseProxyHeader(b[:at]); !errors.Is(early, errPartialProxyHeader) && (m != n || !errors.Is(early, err)) {
				t.Fatalf("%q: %d bytes, %v; %q: %d bytes, %v", b[:at], m, early, b, n, err)
			}
			again, m, late := parseProxyHeader(append(bytes.Clone(b), b...))
			if err == nil && (again != client || m != n || late != nil) {
				t.Fatalf("with more bytes: %v, %d bytes, %v", again, m, late)
			}
		}
	})
}
