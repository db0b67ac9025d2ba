package transport

import (
	"encoding/binary"
	"net/netip"
	"time"

	"silod/sip"
)

// Phones that keep a UDP flow open by RFC 5626 section 4.4.2 send STUN binding
// requests to the SIP port, and take the flow for dead without an answer.
const (
	stunCookie   = 0x2112A442
	stunRequest  = 0x0001
	stunResponse = 0x0101
	stunMapped   = 0x0020 // XOR-MAPPED-ADDRESS
	stunHeader   = 20
)

// stun answers a STUN binding request, and reports whether the datagram was one. A source
// that is banned or over its rate gets no answer, and no source more bytes than it sent.
func (u *udpSocket) stun(b []byte, src netip.AddrPort) bool {
	r := stunReply(b, src)
	if r == nil {
		return false
	}
	l, flow := u.layer, sip.Flow{Transport: sip.UDP, Local: u.local, Remote: unmap(src)}
	switch {
	case !l.limiter.allow(flow.Remote.Addr(), time.Now()):
		l.Stats.Limited.Inc()
	case !l.receiver.AcceptSource(flow):
	case len(r) > len(b) && !l.Covers(flow.Remote.Addr(), len(b), len(r)):
		// It is repeated after half a second (RFC 5389 section 7.2.1).
	default:
		_, _ = u.conn.WriteToUDPAddrPort(r, src)
	}
	return true
}

// stunReply returns the answer to a STUN binding request (RFC 5389 section 7.3), nil for
// any other datagram. It is 12 bytes longer than the shortest request, 24 over IPv6.
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
	family := uint16(1)
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
