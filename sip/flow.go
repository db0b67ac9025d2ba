package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Transport is one of the transports of SIP. It is a number, because every binding has
// one.
type Transport uint8

// The transports. The zero Transport is none of them.
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS
	WSS
)

var transportNames = [...]string{UDP: "udp", TCP: "tcp", TLS: "tls", WS: "ws", WSS: "wss"}

// ParseTransport returns the transport of a name, in any case; ok is false for a name that
// is not known.
func ParseTransport(name string) (t Transport, ok bool) {
	for t, known := range transportNames {
		if t > 0 && strings.EqualFold(name, known) {
			return Transport(t), true
		}
	}
	return 0, false
}

// String returns the name in lower case, "" for the zero Transport.
func (t Transport) String() string {
	if int(t) >= len(transportNames) {
		return ""
	}
	return transportNames[t]
}

// MarshalText returns the name, for logs in JSON.
func (t Transport) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// Reliable reports whether the transport retransmits by itself.
func (t Transport) Reliable() bool { return t != UDP }

// IsByteStream reports whether the transport is a stream of bytes, in which
// Content-Length says where a message ends. A WebSocket has frames for that.
func (t Transport) IsByteStream() bool { return t == TCP || t == TLS }

// DefaultPort returns the port of a URI or Via that does not have one: 5061 for TLS,
// otherwise 5060 (RFC 3261 section 18.1.1).
func (t Transport) DefaultPort() uint16 {
	if t == TLS {
		return 5061
	}
	return 5060
}

// ViaName returns the transport as a Via header field names it.
func (t Transport) ViaName() string { return strings.ToUpper(t.String()) }

// A Flow is a way to a peer (RFC 5626 section 3): over UDP the local socket and the
// remote address, over a stream one connection. A stream's flow ends with its
// connection; a UDP flow lasts as long as the socket's address, across restarts. The
// zero Flow leads nowhere. Flows are comparable.
type Flow struct {
	Transport Transport
	Local     netip.AddrPort // the listener's address
	Remote    netip.AddrPort
	Conn      uint64 // number of a stream's connection, never used twice; 0 over UDP
}

// IsZero reports whether the flow leads nowhere.
func (f Flow) IsZero() bool { return f.Transport == 0 }

// String returns the flow as "udp:LOCAL>REMOTE" or "tcp:LOCAL>REMOTE#CONN".
func (f Flow) String() string {
	if f.IsZero() {
		return ""
	}
	var room [128]byte
	b := append(append(room[:0], f.Transport.String()...), ':')
	b = append(f.Local.AppendTo(b), '>')
	b = f.Remote.AppendTo(b)
	if f.Conn != 0 {
		b = strconv.AppendUint(append(b, '#'), f.Conn, 36)
	}
	return string(b)
}

// ParseFlow reads the form that String returns.
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
