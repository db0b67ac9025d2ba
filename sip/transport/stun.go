package transport

import (
	"encoding/binary"
	"net/netip"
	"time"

	"silod/sip"
)

// Clients that keep a UDP flow open as RFC 5626 section 4.4.2 describes send STUN Binding
// requests to the SIP port. Without an answer they treat the flow as failed.
const (
	stunCookie   = 0x2112A442
	stunRequest  = 0x0001
	stunResponse = 0x0101
	stunMapped   = 0x0020 // XOR-MAPPED-ADDRESS
	stunHeader   = 20
)

// answerSTUN answers a STUN Binding request. It reports whether the datagram is one. A
// source that is not accepted or exceeds its rate gets no answer, and none gets more bytes than
// Covers allows.
func (u *udpSocket) answerSTUN(b []byte, f sip.Flow) bool {
	r := stunReply(b, f.Remote)
	if r == nil {
		return false
	}
	l, source := u.layer, f.Remote.Addr()
	switch {
	case !l.datagrams.allow(source, time.Now()):
		l.Stats.Limited.Inc()
	case !l.receiver.AcceptSource(f):
	case !l.Covers(source, len(b), len(r)):
		l.HoldBack(source, len(b))
		// The client repeats its request after half a second (RFC 5389 section 7.2.1).
	default:
		_ = u.send(f, r)
	}
	return true
}

// stunReply returns the answer to a STUN Binding request (RFC 5389 section 7.3), or nil for
// any other datagram. The answer is 12 bytes longer than the shortest request, over IPv6
// 24 bytes.
func stunReply(b []byte, src netip.AddrPort) []byte {
	if len(b) < stunHeader || binary.BigEndian.Uint16(b) != stunRequest || binary.BigEndian.Uint32(b[4:]) != stunCookie ||
		int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return nil
	}
	ip := src.Addr().AsSlice()
	r := make([]byte, 0, stunHeader+8+len(ip))
	r = binary.BigEndian.AppendUint16(r, stunResponse)
	r = binary.BigEndian.AppendUint16(r, uint16(8+len(ip)))
	r = append(r, b[4:stunHeader]...) // cookie and transaction ID
	r = binary.BigEndian.AppendUint16(r, stunMapped)
	r = binary.BigEndian.AppendUint16(r, uint16(4+len(ip)))
	family := uint16(1) // IPv4
	if len(ip) == 16 {
		family = 2
	}
	r = binary.BigEndian.AppendUint16(r, family)
	r = binary.BigEndian.AppendUint16(r, src.Port()^uint16(stunCookie>>16))
	for i, c := range ip {
		r = append(r, c^b[4+i])
	}
	return r
}
