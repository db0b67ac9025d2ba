package sip

import "strings"

// A Transport is one of the transports of SIP. It is a number of one byte, because each
// stored binding has one.
type Transport uint8

// The transports. The zero Transport is not one of them.
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS
	WSS
)

var transportNames = [...]string{UDP: "udp", TCP: "tcp", TLS: "tls", WS: "ws", WSS: "wss"}

// ParseTransport returns the transport with a name, without regard to case. ok is false if
// the name is unknown.
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

// Reliable reports whether the transport retransmits lost data.
func (t Transport) Reliable() bool { return t != UDP }

// Secure reports whether the transport runs over TLS, as RFC 3261 section 26.2.2 requires of
// each hop of a request to a sips URI.
func (t Transport) Secure() bool { return t == TLS || t == WSS }

// IsByteStream reports whether the transport is a byte stream, in which Content-Length
// determines the end of a message. A WebSocket has frames.
func (t Transport) IsByteStream() bool { return t == TCP || t == TLS }

// DefaultPort returns the port of a URI or Via that does not have one: 5061 for TLS,
// otherwise 5060 (RFC 3261 section 18.1.1).
func (t Transport) DefaultPort() uint16 {
	if t == TLS {
		return 5061
	}
	return 5060
}

// ViaName returns the name of the transport in a Via header field.
func (t Transport) ViaName() string { return strings.ToUpper(t.String()) }
