//go:build bench

package transport

import (
	"fmt"
	"net"

	"silod/sip"
)

// Refuse answers every request to a socket with one status, without transactions: the least
// work of a server with this parser, for comparison in the benchmark. It returns when
// reading or writing fails.
func Refuse(conn *net.UDPConn, status int) error {
	_ = conn.SetReadBuffer(receiveBuffer)
	buf := make([]byte, 65536)
	var out []byte
	for {
		n, src, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		m, err := sip.Parse(buf[:n], false)
		if err != nil || m.Status != 0 {
			continue
		}
		res := sip.Message{Status: status, Reason: sip.ReasonPhrase(status), Headers: make([]sip.Header, 0, 8)}
		for _, h := range m.Headers {
			switch h.Name {
			case "Via", "From", "To", "Call-ID", "CSeq":
				res.Headers = append(res.Headers, h)
			}
		}
		out = res.AppendTo(out[:0])
		if _, err := conn.WriteToUDPAddrPort(out, src); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
}
