package transport

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"silod/sip"
)

// Via returns the start of the Via for a request that goes out over a flow: protocol and
// sent-by. The sent-by is the advertised address, else the listener's, else, for a listener
// on all addresses, the one from which the peer is reached.
func (l *Layer) Via(f sip.Flow) string {
	local := f.Local
	if f.Transport.Reliable() {
		local = l.listenerOf(f)
	}
	if l.advertised.host == "" && local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(l.localIPs.localAddrFor(f.Remote), local.Port())
	}
	return l.vias.of(f.Transport, local, l.writeVia)
}

// writeVia is Via for a known address.
func (l *Layer) writeVia(t sip.Transport, local netip.AddrPort) string {
	host, port := l.advertised.host, l.advertised.port
	if host == "" {
		a := local.Addr()
		if host = a.WithZone("").String(); a.Is6() {
			host = "[" + host + "]"
		}
	}
	if port == 0 {
		port = local.Port()
	}
	return "SIP/2.0/" + t.ViaName() + " " + host + ":" + strconv.Itoa(int(port))
}

// vias caches the results of writeVia, one of which is needed for every request. There are
// no more than this machine has addresses and listeners.
type vias struct {
	mu    sync.RWMutex
	known map[viaKey]string
}

type viaKey struct {
	transport sip.Transport
	local     netip.AddrPort
}

func (v *vias) of(t sip.Transport, local netip.AddrPort, write func(sip.Transport, netip.AddrPort) string) string {
	k := viaKey{t, local}
	v.mu.RLock()
	s, ok := v.known[k]
	v.mu.RUnlock()
	if ok {
		return s
	}
	s = write(t, local)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = make(map[viaKey]string)
	}
	v.known[k] = s
	return s
}

// listenerOf returns the address at which a stream's peer can open a connection to us.
func (l *Layer) listenerOf(f sip.Flow) netip.AddrPort {
	for _, l := range l.streams {
		if l.transport == f.Transport {
			return netip.AddrPortFrom(f.Local.Addr(), l.local.Port())
		}
	}
	return f.Local
}

// localIPs caches from which of our addresses the kernel reaches a remote one.
type localIPs struct {
	mu    sync.Mutex
	known map[netip.Addr]netip.Addr
}

const localIPsMax = 4096

func (l *localIPs) localAddrFor(remote netip.AddrPort) netip.Addr {
	l.mu.Lock()
	a, ok := l.known[remote.Addr()]
	l.mu.Unlock()
	if ok {
		return a
	}
	a = netip.IPv4Unspecified()
	// Connecting a UDP socket sends nothing; it asks the routing table.
	var d net.Dialer
	if c, err := d.DialContext(context.Background(), "udp", remote.String()); err == nil {
		a = unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()).Addr()
		_ = c.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil || len(l.known) >= localIPsMax {
		l.known = make(map[netip.Addr]netip.Addr)
	}
	l.known[remote.Addr()] = a
	return a
}
