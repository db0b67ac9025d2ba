package registrar

import (
	"net/netip"

	"silod/sip"
)

// Dialable reports whether a binding is still reached when its flow has ended, over a
// connection to its Path or its Contact. The Path was believed when it was registered. The
// Contact must have the address that the REGISTER came from, but another port: a client that
// names the port from which it has connected does not listen there. It may have another
// transport: a phone that is reached over UDP sends a REGISTER of more than 1300 bytes over
// TCP (RFC 3261 section 18.1.1). A flow of RFC 5626 ends with its connection, and so does the
// binding of a client behind a NAT. Requests for a client that has used TLS are not sent
// without. A flow over UDP does not end.
func (b *Binding) Dialable() bool {
	if b.Flow.IsZero() {
		return true
	}
	uri, ok := b.NextHop()
	t, _ := uri.Transport()
	from := b.Flow.Transport
	secure := from == sip.TLS || from == sip.WSS
	switch {
	case !ok || uri.IsInvalid() || from == sip.UDP || secure && t != sip.TLS,
		t != sip.UDP && t != sip.TCP && t != sip.TLS:
		return false
	case len(b.Path) > 0:
		return true
	case b.RegID != 0 || !from.IsByteStream():
		return false
	}
	_, ob := uri.Params.Get("ob")
	to, literal := uri.AddrPort()
	source := withoutZone(b.Flow.Remote)
	return literal && !ob && to.Addr() == source.Addr() && to.Port() != source.Port()
}

// NextHop returns the URI of the first hop to a binding without a flow: that in the topmost
// Path value, or else that of the Contact.
func (b *Binding) NextHop() (uri sip.URI, ok bool) {
	if len(b.Path) > 0 {
		top, err := sip.ParseNameAddr(b.Path[0])
		return top.URI, err == nil && top.URI.IsSIP()
	}
	uri, err := sip.ParseURI(b.Contact)
	return uri, err == nil && uri.IsSIP()
}

// BehindNAT reports whether a binding is reached over UDP through a NAT, which closes unless
// packets pass: the flow leads to another address than the Contact, or the Via has shown a
// NAT. If there is a Path, the proxy in it must keep the NAT open.
func (b *Binding) BehindNAT() bool {
	return b.Flow.Transport == sip.UDP && len(b.Path) == 0 && (b.ViaNAT || b.differs())
}

// differs reports whether the flow of a binding leads to another address than the Contact.
func (b *Binding) differs() bool {
	uri, err := sip.ParseURI(b.Contact)
	if err != nil {
		return true
	}
	to, ok := uri.AddrPort()
	return !ok || to != withoutZone(b.Flow.Remote)
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// unreachable returns the reason why nothing can be sent to a binding, or "": it has no flow,
// and no host can have the address in its Path or Contact.
func (l *Location) unreachable(b *Binding) string {
	if !b.Flow.IsZero() {
		return ""
	}
	next, ok := b.NextHop()
	if !ok {
		return "Path or contact is not a SIP URI"
	}
	if why := l.opt.Own.Unusable(next); why != "" {
		return next.String() + " " + why
	}
	return ""
}
