package router

import (
	"net/netip"
	"strings"

	"silod/registrar"
	"silod/sip"
)

// A registration is a REGISTER with the properties that decide where its contacts are
// reached.
type registration struct {
	request registrar.Register
	own     *sip.OwnAddresses // which no contact may name

	flow    sip.Flow // over which it came
	via     *sip.Via // topmost
	vias    int      // number of Via values
	path    *sip.URI // in the topmost Path value; nil: none
	trusted bool     // the peer is trusted, so that the addresses which it names are believed
	nat     bool     // the topmost Via shows a NAT
}

// readPath sets the path of a registration from the Path values of its request. A Path is
// believed if the peer is trusted, or if it names the address that the REGISTER came from.
// Others are refused: requests would be sent wherever a client wishes (RFC 3327 section 6.1).
//
// Requests to the bindings have the values as Route, which their recipients must be able to
// read: readPath replaces those that are not well-formed.
func (g *registration) readPath(values []string) *registrar.Error {
	for i, v := range values {
		a, err := sip.ParseNameAddr(v)
		if err != nil || a.Star || !a.URI.IsSIP() {
			return &registrar.Error{Status: 400, Reason: "Bad Path header"}
		}
		if i == 0 {
			g.path = &a.URI
		}
		if a.Mended {
			values[i] = a.String()
		}
	}
	if g.path != nil && !g.trusted && !g.isSource(g.path) {
		return &registrar.Error{Status: 403, Reason: "Path names another address than yours, which only trusted proxies may do"}
	}
	return nil
}

// reach returns the flow over which a contact is reached, or refuses the contact.
func (g *registration) reach(contact sip.URI) (sip.Flow, *registrar.Error) {
	if g.isPlain(&contact) {
		return g.flow, nil
	}
	f := g.flowTo(contact)
	return f, g.checkContact(contact, f)
}

// isPlain reports whether a contact over UDP has the address and port that the REGISTER came
// from, as nearly all have. The result of reach is then known.
func (g *registration) isPlain(contact *sip.URI) bool {
	if g.flow.Transport != sip.UDP || g.path != nil || g.nat || g.trusted || len(contact.Params) > 0 || contact.Scheme != "sip" {
		return false
	}
	to, ok := contact.AddrPort()
	return ok && to == g.flow.Remote
}

// flowTo returns the flow over which a contact is reached. The zero Flow means that it is
// reached at its Path or at its URI, over a connection that is opened when it is needed.
//
// Clients that are not trusted are reached over the flow of the REGISTER, or at the Contact
// if it has the address that the REGISTER came from. Nothing is sent to an address that such
// a client has only named, and no name of it is looked up.
func (g *registration) flowTo(contact sip.URI) sip.Flow {
	switch {
	case g.flow.Transport == sip.WS || g.flow.Transport == sip.WSS:
		return g.flow // no connection can be opened to the other end
	case g.path != nil:
		return g.flowToPath()
	case !isDialable(&contact):
		return g.flow
	case g.namesOthers():
		return g.flowToURI(&contact)
	case g.flow.Transport.Reliable() || g.nat || !g.isSource(&contact):
		return g.flow
	}
	// The port of the Contact counts, not that of the source: some phones send from one port
	// and listen on another.
	return g.flowToURI(&contact)
}

// flowToPath returns the flow to the first hop of the Path. A connection is used while it is
// open if it leads there.
func (g *registration) flowToPath() sip.Flow {
	t, named := g.path.Transport()
	same := t == g.flow.Transport || !named && g.path.Scheme == "sip"
	if g.flow.Transport.Reliable() && same && (g.isSource(g.path) || strings.EqualFold(g.path.Host, g.via.Host)) {
		return g.flow
	}
	return g.flowToURI(g.path)
}

// namesOthers reports whether the REGISTER comes from a trusted peer on behalf of another
// host: from a proxy that adds no Path, or from a host that is not behind a NAT.
func (g *registration) namesOthers() bool {
	if !g.trusted || g.vias > 1 {
		return g.trusted
	}
	own, ok := g.via.Addr()
	return ok && g.flow.Transport == sip.UDP && own == g.flow.Remote.Addr().WithZone("")
}

// behindNAT reports whether the Via shows that the client is behind a NAT.
func (g *registration) behindNAT() bool {
	return g.flow.Transport == sip.UDP && g.vias == 1 && g.nat
}

// isSource reports whether the host of a URI is the address that the REGISTER came from.
func (g *registration) isSource(u *sip.URI) bool {
	ip, ok := u.Addr()
	return ok && ip == g.flow.Remote.Addr().WithZone("")
}

// flowToURI returns the flow to the address in a URI from the socket of the REGISTER. It is
// zero if the URI has a name, needs a connection, or has another IP version.
func (g *registration) flowToURI(u *sip.URI) sip.Flow {
	to, ok := u.AddrPort()
	t, _ := u.Transport()
	from := g.flow.Remote.Addr()
	if !ok || t != sip.UDP || g.flow.Transport != sip.UDP || to.Addr().Is4() != from.Is4() {
		return sip.Flow{}
	}
	if to.Addr() == from.WithZone("") {
		to = netip.AddrPortFrom(from, to.Port()) // with its zone
	}
	return sip.Flow{Transport: sip.UDP, Local: g.flow.Local, Remote: to}
}

// isDialable reports whether requests can be sent to a URI without a connection that its
// host has opened. Those to a Contact with the parameter alias, which Kamailio adds, reach
// their client only through the proxy that has added it.
func isDialable(u *sip.URI) bool {
	t, _ := u.Transport()
	_, alias := u.Params.Get("alias")
	return (t == sip.UDP || t == sip.TCP || t == sip.TLS) && !alias && !u.IsInvalid()
}
