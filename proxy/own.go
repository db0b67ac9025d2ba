package proxy

import (
	"slices"

	"silod/registrar"
	"silod/sip"
)

// notOwn returns a next hop, or nil if it is this server itself.
func (p *Proxy) notOwn(next *sip.URI) *sip.URI {
	if next != nil && p.own.IsNextHop(*next) {
		return nil
	}
	return next
}

// bindingsOf returns the bindings of a user. One whose next hop is this server itself stands
// for the bindings of the user of its contact, without those that again lead here, so that no
// message of ours returns to us. A room has no bindings: a contact does not lead into it.
func (p *Proxy) bindingsOf(a sip.AoR) []registrar.Binding {
	bs := p.location.Bindings(a)
	for i := range bs {
		if p.leadsHere(&bs[i]) {
			return p.followOwn(a, bs)
		}
	}
	return bs
}

// followOwn is bindingsOf for a user with a binding that leads here.
func (p *Proxy) followOwn(a sip.AoR, bs []registrar.Binding) []registrar.Binding {
	var found []registrar.Binding
	seen := []sip.AoR{a}
	for i := range bs {
		if !p.leadsHere(&bs[i]) {
			found = append(found, bs[i])
			continue
		}
		u, err := sip.ParseURI(bs[i].Contact)
		if err != nil {
			continue
		}
		other, ours := p.domains.AoR(u)
		if !ours || slices.Contains(seen, other) || p.isRoom(other) {
			continue
		}
		seen = append(seen, other)
		for _, b := range p.location.Bindings(other) {
			if !p.leadsHere(&b) {
				found = append(found, b)
			}
		}
	}
	return found
}

// leadsHere reports whether the next hop of a binding is this server itself. It is the peer of
// its flow, or without a flow its Path or its contact.
func (p *Proxy) leadsHere(b *registrar.Binding) bool {
	if !b.Flow.IsZero() {
		return b.Flow.Transport == sip.UDP && p.own.HasAddr(b.Flow.Remote)
	}
	next, ok := b.NextHop()
	return ok && p.own.IsNextHop(next)
}

// isOwn reports whether a URI is an address of this server.
func (p *Proxy) isOwn(uri string) bool {
	u, err := sip.ParseURI(uri)
	return err == nil && p.own.IsNextHop(u)
}
