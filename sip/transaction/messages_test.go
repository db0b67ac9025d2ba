package transaction

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"silod/sip"
)

var peer = sip.Flow{Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070")}

// request returns a message, with the lines separated by CRLF.
func request(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n"))
}

// wsUpgrade is the HTTP request of a WebSocket client.
const wsUpgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n"

// exchange sends a text and reads once. It returns an error if the bytes do not contain want.
func exchange(c net.Conn, text []byte, want string) error {
	if _, err := c.Write(text); err != nil {
		return err
	}
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	if err == nil && !strings.Contains(string(buf[:n]), want) {
		err = fmt.Errorf("received %q", buf[:n])
	}
	return err
}
