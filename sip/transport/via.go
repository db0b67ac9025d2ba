package transport

import (
	"net/netip"
	"strconv"
	"sync"

	"silod/sip"
)

// Via returns the start of the Via value for requests over a flow: protocol and sent-by.
// The sent-by is the advertised address, or else the local address of the flow. If that is
// unspecified, it is the local address of the route to the peer.
func (l *Layer) Via(f sip.Flow) string {
	var local netip.AddrPort
	if f.Transport.Reliable() {
		local = l.listenerAddr(f)
	} else {
		local = l.localAddr(f)
	}
	switch {
	case l.advertised.host != "": // the port only counts
		local = netip.AddrPortFrom(netip.Addr{}, local.Port())
	case local.Addr().IsUnspecified():
		local = netip.AddrPortFrom(l.localIPs.localAddrFor(f.Remote), local.Port())
	}
	return l.vias.get(f.Transport, local, l.formatVia)
}

func (l *Layer) formatVia(t sip.Transport, local netip.AddrPort) string {
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

// vias caches the results of formatVia. Their number is limited by the local addresses and
// the listeners.
type vias struct {
	mu    sync.RWMutex
	known map[viaKey]string
}

type viaKey struct {
	transport sip.Transport
	local     netip.AddrPort
}

func (v *vias) get(t sip.Transport, local netip.AddrPort, format func(sip.Transport, netip.AddrPort) string) string {
	k := viaKey{t, local}
	v.mu.RLock()
	s, ok := v.known[k]
	v.mu.RUnlock()
	if ok {
		return s
	}
	s = format(t, local)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil {
		v.known = make(map[viaKey]string)
	}
	v.known[k] = s
	return s
}

// listenerAddr returns the local address on which the peer of a stream can open connections
// to us.
func (l *Layer) listenerAddr(f sip.Flow) netip.AddrPort {
	for _, ln := range l.listeners {
		if ln.transport == f.Transport {
			return netip.AddrPortFrom(f.Local.Addr(), ln.local.Port())
		}
	}
	return f.Local
}
