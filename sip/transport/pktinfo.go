package transport

import (
	"net"
	"net/netip"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A packetInfo belongs to a UDP socket that is bound to all addresses. In control messages
// the kernel passes the destination address of each datagram, and is passed the source
// address of each answer: it must be sent from the address at which the request was
// received (RFC 3261 section 18.2.2, RFC 3581 section 4).
type packetInfo struct {
	size int // of a control message in bytes

	mu       sync.RWMutex
	messages map[netip.Addr][]byte // control messages by the source address that they set
}

// maxSources is the maximum number of control messages that are kept.
const maxSources = 256

// newPacketInfo makes the kernel pass the destination addresses of a socket's datagrams.
func newPacketInfo(conn net.PacketConn, local netip.Addr) (*packetInfo, error) {
	if local.Is4() {
		flags := ipv4.FlagDst | ipv4.FlagInterface
		return &packetInfo{size: len(ipv4.NewControlMessage(flags))}, ipv4.NewPacketConn(conn).SetControlMessage(flags, true)
	}
	flags := ipv6.FlagDst | ipv6.FlagInterface
	return &packetInfo{size: len(ipv6.NewControlMessage(flags))}, ipv6.NewPacketConn(conn).SetControlMessage(flags, true)
}

// localOf returns the local address of the flow of a datagram from remote, given its control
// message. For a multicast it is the address of the socket: the answer may be sent from any.
func (u *udpSocket) localOf(control []byte, remote netip.Addr) netip.AddrPort {
	if u.info == nil {
		return u.local
	}
	a, ifIndex := destination(control, u.local.Addr().Is4())
	if a.Is6() && a.IsLinkLocalUnicast() {
		a = withZone(a, remote.Zone(), ifIndex)
	}
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
		return u.local
	}
	return netip.AddrPortFrom(a, u.local.Port())
}

// withZone returns a link-local address with the zone of an interface. A remote address
// that is link-local as well has the same zone, otherwise the interface is looked up.
func withZone(a netip.Addr, remoteZone string, ifIndex int) netip.Addr {
	if remoteZone != "" {
		return a.WithZone(remoteZone)
	}
	ifi, err := net.InterfaceByIndex(ifIndex)
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone(ifi.Name)
}

// control returns the control message that sets the source address of a datagram over a
// flow with the given local address. It is nil if the kernel selects the source address.
func (u *udpSocket) control(local netip.Addr) []byte {
	if u.info == nil || local == u.local.Addr() || local.Is4() != u.local.Addr().Is4() {
		return nil
	}
	return u.info.message(local)
}

func (p *packetInfo) message(source netip.Addr) []byte {
	p.mu.RLock()
	m := p.messages[source]
	p.mu.RUnlock()
	if m != nil {
		return m
	}
	m = newControlMessage(source)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.messages == nil || len(p.messages) >= maxSources {
		p.messages = make(map[netip.Addr][]byte)
	}
	p.messages[source] = m
	return m
}

// forget removes the control message of a source address from which the kernel does not
// send: the address has been removed from this machine, or its interface has a new number.
func (p *packetInfo) forget(source netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.messages, source)
}

func newControlMessage(source netip.Addr) []byte {
	if source.Is4() {
		cm := ipv4.ControlMessage{Src: source.AsSlice()}
		return cm.Marshal()
	}
	cm := ipv6.ControlMessage{Src: source.AsSlice()}
	if source.Zone() != "" {
		if ifi, err := net.InterfaceByName(source.Zone()); err == nil {
			cm.IfIndex = ifi.Index
		}
	}
	return cm.Marshal()
}
