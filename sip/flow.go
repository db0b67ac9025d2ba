package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Flow identifies the transport-layer path to a peer (RFC 5626 section 3): over UDP the
// local and the remote address, over a stream one connection. The flow of a stream ends with
// its connection. A UDP flow remains valid after a restart if its local address is listened
// on. Flows are comparable. The zero Flow is not a flow.
type Flow struct {
	Transport Transport
	Local     netip.AddrPort // to which the peer sends; unspecified IP address: not known
	Remote    netip.AddrPort
	Conn      uint64 // number of the connection, which is not reused; 0 over UDP
}

// IsZero reports whether f is the zero Flow.
func (f Flow) IsZero() bool { return f.Transport == 0 }

// String returns the flow as "udp:LOCAL>REMOTE" or "tcp:LOCAL>REMOTE#CONN", where CONN is in
// base 36. For the zero Flow it returns "".
func (f Flow) String() string {
	if f.IsZero() {
		return ""
	}
	var buf [128]byte
	b := append(append(buf[:0], f.Transport.String()...), ':')
	b = append(f.Local.AppendTo(b), '>')
	b = f.Remote.AppendTo(b)
	if f.Transport.Reliable() {
		b = strconv.AppendUint(append(b, '#'), f.Conn, 36)
	}
	return string(b)
}

// ParseFlow parses the result of String. An empty string is an error.
func ParseFlow(s string) (Flow, error) {
	var f Flow
	transport, rest, ok1 := strings.Cut(s, ":")
	local, rest, ok2 := strings.Cut(rest, ">")
	remote, conn, stream := strings.Cut(rest, "#")
	var ok3 bool
	f.Transport, ok3 = ParseTransport(transport)
	var err1, err2, err3 error
	f.Local, err1 = netip.ParseAddrPort(local)
	f.Remote, err2 = netip.ParseAddrPort(remote)
	if stream {
		f.Conn, err3 = strconv.ParseUint(conn, 36, 64)
	}
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || err3 != nil || stream != f.Transport.Reliable() {
		return Flow{}, fmt.Errorf("%q is not a flow", s)
	}
	return f, nil
}
