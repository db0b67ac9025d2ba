package router

import (
	"silod/registrar"
	"silod/sip"
)

// checkContact refuses a contact to which nothing can be sent, if requests are to be sent
// there: a client that has a connection, a Path, or a NAT in front of it is reached over these,
// and its Contact is a Request-URI only. flow is the flow over which the contact is reached.
func (g *registration) checkContact(contact sip.URI, flow sip.Flow) *registrar.Error {
	header, next := "Contact", &contact
	switch {
	case g.path != nil && (flow.IsZero() || !flow.Transport.Reliable()):
		header, next = "Path", g.path
	case g.path != nil || !g.meansContact(&contact, flow):
		return nil
	}
	why := g.own.Unusable(*next)
	if why == "" && g.own.IsNextHop(*next) {
		why = "names this server"
	}
	if why != "" {
		return &registrar.Error{Status: 400, Reason: header + " " + why}
	}
	return nil
}

// meansContact reports whether a contact is meant as the address of its client.
func (g *registration) meansContact(contact *sip.URI, flow sip.Flow) bool {
	if flow != g.flow { // it leads to the contact, or a connection must be opened
		return true
	}
	// A name is not looked up, and may be that of a domain.
	_, literal := contact.Addr()
	return literal && g.flow.Transport == sip.UDP && g.vias == 1 && !g.nat
}
