package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, is specified by HAProxy's doc/proxy-protocol.txt. The
// sections named below are those of that document.
const (
	proxyPrefixV1 = "PROXY "
	proxyPrefixV2 = "\r\n\r\n\x00\r\nQUIT\n"

	maxProxyLine   = 107  // bytes of a header of version 1, with its CRLF (section 2.1)
	maxProxyHeader = 4096 // bytes of a header of version 2; senders keep it below 536
)

// Errors of parseProxyHeader. All but errNoProxyHeader wrap errProxyHeader.
var (
	errNoProxyHeader      = errors.New("no PROXY header")
	errProxyHeader        = errors.New("PROXY header")
	errPartialProxyHeader = fmt.Errorf("%w: incomplete", errProxyHeader)
	errBadProxyHeader     = fmt.Errorf("%w: malformed", errProxyHeader)
	errProxyChecksum      = fmt.Errorf("%w: wrong checksum", errProxyHeader)
)

// parseProxyHeader parses the PROXY header at the start of b. It returns its length and the
// address of the client. The address is zero if the proxy speaks for itself or does not know
// the client (LOCAL, UNKNOWN, UNSPEC), and if the client's is not a TCP connection. The error
// is errPartialProxyHeader if b is the start of a header, errNoProxyHeader if b is not.
func parseProxyHeader(b []byte) (client netip.AddrPort, n int, err error) {
	switch {
	case hasPrefix(b, proxyPrefixV1):
		return parseProxyLine(b)
	case hasPrefix(b, proxyPrefixV2):
		return parseProxyBlock(b)
	case strings.HasPrefix(proxyPrefixV1, string(b)), strings.HasPrefix(proxyPrefixV2, string(b)):
		return client, 0, errPartialProxyHeader
	}
	return client, 0, errNoProxyHeader
}

func hasPrefix(b []byte, prefix string) bool { return bytes.HasPrefix(b, []byte(prefix)) }

// parseProxyLine parses a header of version 1 (section 2.1):
//
//	PROXY TCP4 192.0.2.1 192.0.2.11 56324 5061
func parseProxyLine(b []byte) (client netip.AddrPort, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxProxyLine)], '\n')
	if end < 0 && len(b) < maxProxyLine {
		return client, 0, errPartialProxyHeader
	}
	if end < 0 || b[end-1] != '\r' {
		return client, 0, errBadProxyHeader
	}
	fields := strings.Split(string(b[:end-1]), " ")
	if fields[1] == "UNKNOWN" {
		return client, end + 1, nil
	}
	if len(fields) != 6 || fields[1] != "TCP4" && fields[1] != "TCP6" {
		return client, 0, errBadProxyHeader
	}
	is6 := fields[1] == "TCP6"
	source, ok1 := parseProxyAddr(is6, fields[2], fields[4])
	_, ok2 := parseProxyAddr(is6, fields[3], fields[5])
	if !ok1 || !ok2 {
		return client, 0, errBadProxyHeader
	}
	return source, end + 1, nil
}

// parseProxyAddr parses an address and a port of version 1, neither of which may have leading
// zeros.
func parseProxyAddr(is6 bool, host, port string) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Is6() != is6 || a.Zone() != "" {
		return netip.AddrPort{}, false
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}

// Parts of a header of version 2 (section 2.2). After the prefix: version and command, family
// and protocol, the length of the rest.
const (
	proxyFixed = len(proxyPrefixV2) + 4

	proxyLocal, proxyProxy = 0x20, 0x21

	familyIPv4, familyIPv6, familyUnix = 1, 2, 3
	protocolStream, protocolDatagram   = 1, 2

	proxyTypeCRC32C = 0x03
)

// proxyAddrSize is the size of the addresses of each family.
var proxyAddrSize = [...]int{0, familyIPv4: 2*4 + 2*2, familyIPv6: 2*16 + 2*2, familyUnix: 2 * 108}

// parseProxyBlock parses a header of version 2 (section 2.2).
func parseProxyBlock(b []byte) (client netip.AddrPort, n int, err error) {
	if len(b) < proxyFixed {
		return client, 0, errPartialProxyHeader
	}
	n = proxyFixed + int(binary.BigEndian.Uint16(b[proxyFixed-2:]))
	command, family, protocol := b[proxyFixed-4], b[proxyFixed-3]>>4, b[proxyFixed-3]&0x0f
	if command != proxyLocal && command != proxyProxy || n > maxProxyHeader {
		return client, 0, errBadProxyHeader
	}
	if len(b) < n {
		return client, 0, errPartialProxyHeader
	}
	if command == proxyLocal { // the rest is ignored (section 2.2)
		return client, n, nil
	}
	if family > familyUnix || protocol > protocolDatagram {
		return client, 0, errBadProxyHeader
	}
	size := proxyAddrSize[family]
	if protocol == 0 {
		size = 0
	}
	if n-proxyFixed < size {
		return client, 0, errBadProxyHeader
	}
	addrs := b[proxyFixed : proxyFixed+size]
	if size > 0 {
		if err := checkProxyTLVs(b[:n], proxyFixed+size); err != nil {
			return client, 0, err
		}
	}
	if protocol != protocolStream {
		return client, n, nil
	}
	switch family {
	case familyIPv4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(addrs)), binary.BigEndian.Uint16(addrs[8:])), n, nil
	case familyIPv6:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(addrs)).Unmap(), binary.BigEndian.Uint16(addrs[32:])), n, nil
	}
	return client, n, nil
}

// checkProxyTLVs checks the extensions of a header, which begin at the given offset, and its
// checksum, if it has one (section 2.2.3). Other extensions are not used.
func checkProxyTLVs(header []byte, at int) error {
	for at < len(header) {
		if len(header)-at < 3 {
			return errBadProxyHeader
		}
		value := at + 3
		end := value + int(binary.BigEndian.Uint16(header[at+1:]))
		if end > len(header) {
			return errBadProxyHeader
		}
		if header[at] == proxyTypeCRC32C {
			if end != value+4 {
				return errBadProxyHeader
			}
			// The sum is that of the header with zeros in place of the checksum.
			sum := crc32.Update(0, castagnoli, header[:value])
			sum = crc32.Update(sum, castagnoli, make([]byte, 4))
			sum = crc32.Update(sum, castagnoli, header[end:])
			if sum != binary.BigEndian.Uint32(header[value:]) {
				return errProxyChecksum
			}
		}
		at = end
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
