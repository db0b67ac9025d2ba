package transaction

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"silod/sip"
)

var peer = sip.Flow{Transport: sip.UDP, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.1:5070")}

// request returns a message, with the lines separated by CRLF.
func request(lines ...string) []byte {
	return []byte(strings.Join(lines, "\r\n"))
}

// torture returns the messages of RFC 4475 and RFC 5118, by name.
func torture(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "rfc*", "*.dat"))
	if err != nil || len(files) == 0 {
		t.Fatal("no messages found", err)
	}
	messages := map[string][]byte{}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		messages[strings.TrimSuffix(filepath.Base(name), ".dat")] = raw
	}
	return messages
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

// wsFrame returns a WebSocket frame of a client: masked, with the key 1 2 3 4.
func wsFrame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 1, 2, 3, 4)
	for i, c := range payload {
		b = append(b, c^byte(i%4+1))
	}
	return b
}
