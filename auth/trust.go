package auth

import (
	"net/netip"
	"slices"
	"strings"

	"silod/sip"
)

// Rights are the rights of a trusted peer. Its requests need no credentials, except
// with Challenge, for a proxy that forwards the requests of users.
type Rights struct {
	Relay          bool // may send to other domains through us
	AssertIdentity bool // may name the sender (P-Asserted-Identity, RFC 3325)
	Challenge      bool // its requests need credentials; failed ones are not charged to it
}

// A Peer is a trusted peer: a proxy in front of us, a gateway, another node.
type Peer struct {
	// Networks are its addresses. The source of a datagram can be forged: trust a
	// network only if no other host can send from its addresses.
	Networks []netip.Prefix

	// Names are the names in its TLS client certificate: DNS names and SIP domains, as
	// RFC 5922 section 7.1 finds them.
	Names []string

	Rights Rights
}

// Trust is a list of trusted peers. It does not change. NewTrust makes one.
type Trust struct{ peers []Peer }

// NewTrust returns a list of these peers.
func NewTrust(peers ...Peer) *Trust { return &Trust{peers} }

// IsEmpty reports whether no peer is trusted.
func (t *Trust) IsEmpty() bool { return t == nil || len(t.peers) == 0 }

// Rights returns the rights of the peer at addr, with the names in its certificate if it
// has a verified one. A name takes precedence over an address, and a smaller network over
// a larger one. If the peer is not trusted, ok is false.
func (t *Trust) Rights(addr netip.Addr, names ...string) (r Rights, ok bool) {
	addr = addr.Unmap().WithZone("")
	bits := -1
	for i := range t.peers {
		p := &t.peers[i]
		if p.named(names) {
			return p.Rights, true
		}
		for _, n := range p.Networks {
			if n.Contains(addr) && n.Bits() > bits {
				r, ok, bits = p.Rights, true, n.Bits()
			}
		}
	}
	return r, ok
}

// named reports whether one of names is a name of the peer.
func (p *Peer) named(names []string) bool {
	return slices.ContainsFunc(p.Names, func(own string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(own, name) })
	})
}

// Asserted parses the values of a peer's P-Asserted-Identity headers, at most a SIP and a
// tel URI (RFC 3325 section 9.1). Without the right to assert identities it returns none,
// and the headers must not be forwarded.
func (r Rights) Asserted(values []string) ([]sip.NameAddr, error) {
	if !r.AssertIdentity {
		return nil, nil
	}
	var ids []sip.NameAddr
	for _, v := range values {
		list, err := sip.ParseList(v)
		if err != nil {
			return nil, err
		}
		ids = append(ids, list...)
	}
	return ids, nil
}
