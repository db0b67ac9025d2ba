package stack

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Transport is one of the transports of SIP, in lower case.
type Transport string

// The transports.
const (
	UDP Transport = "udp"
	TCP Transport = "tcp"
	TLS Transport = "tls"
	WS  Transport = "ws"
	WSS Transport = "wss"
)

// Reliable tells whether the transport retransmits by itself.
func (t Transport) Reliable() bool { return t != UDP }

// bytes tells whether the transport is a stream of bytes, in which Content-Length
// says where a message ends. A WebSocket keeps messages apart by itself.
func (t Transport) bytes() bool { return t == TCP || t == TLS }

// via is the transport as a Via header names it.
func (t Transport) via() string { return strings.ToUpper(string(t)) }

// Flow is a way to a peer (RFC 5626 section 3): over UDP the local socket and the
// remote address, over a stream one connection. A stream's flow dies with its
// connection, a UDP flow lives as long as the socket's address does, also over a
// restart. The zero Flow leads nowhere. Flows are comparable.
type Flow struct {
	Transport Transport
	Local     netip.AddrPort // the listener's address
	Remote    netip.AddrPort
	conn      uint64 // a stream's connection, never used twice
}

// String writes the flow as "udp:LOCAL>REMOTE" or "tcp:LOCAL>REMOTE#CONN".
func (f Flow) String() string {
	if f.Transport == "" {
		return ""
	}
	var room [128]byte
	b := append(append(room[:0], f.Transport...), ':')
	b = append(f.Local.AppendTo(b), '>')
	b = f.Remote.AppendTo(b)
	if f.conn != 0 {
		b = strconv.AppendUint(append(b, '#'), f.conn, 36)
	}
	return string(b)
}

// ParseFlow reads what String wrote.
func ParseFlow(s string) (Flow, error) {
	var f Flow
	transport, rest, ok1 := strings.Cut(s, ":")
	local, rest, ok2 := strings.Cut(rest, ">")
	remote, conn, stream := strings.Cut(rest, "#")
	f.Transport = Transport(transport)
	var err1, err2, err3 error
	f.Local, err1 = netip.ParseAddrPort(local)
	f.Remote, err2 = netip.ParseAddrPort(remote)
	if stream {
		f.conn, err3 = strconv.ParseUint(conn, 36, 64)
	}
	if !ok1 || !ok2 || err1 != nil || err2 != nil || err3 != nil || stream != f.Transport.Reliable() {
		return Flow{}, fmt.Errorf("%q is no flow", s)
	}
	return f, nil
}
