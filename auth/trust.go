package auth

import (
	"net/netip"
	"slices"
	"strings"

	"silod/sip"
)

// Rights are what a trusted peer may do. What it sends needs no credentials, unless
// it is one that passes on the requests of users who prove themselves to us.
type Rights struct {
	Relay          bool // send to other domains by way of us
	AssertIdentity bool // say who the sender is (P-Asserted-Identity, RFC 3325)
	Challenge      bool // credentials are needed, and whoever fails is not the peer
}

// Peer is who is trusted: a proxy in front, a gateway, a second node.
type Peer struct {
	// Networks are its addresses. The source of a datagram can be forged: networks
	// are to be trusted only where nobody else can send from them.
	Networks []netip.Prefix

	// Names are those of its TLS client certificate, as RFC 5922 section 7.1 finds
	// them: DNS names and SIP domains.
	Names []string

	Rights Rights
}

// Trust knows the trusted peers. It does not change; make it with NewTrust.
type Trust struct{ peers []Peer }

// NewTrust makes Trust in these peers.
func NewTrust(peers ...Peer) *Trust { return &Trust{peers} }

// Rights gives the rights of whoever sent from addr and showed a verified certificate
// of these names, if any. A certificate counts more than an address, and of several
// networks the smallest counts. ok is false for strangers.
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

func (p *Peer) named(names []string) bool {
	return slices.ContainsFunc(p.Names, func(own string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(own, name) })
	})
}

// Asserted reads the identities that a peer asserts in the values of its
// P-Asserted-Identity headers: at most a SIP and a tel URI (RFC 3325 section 9.1). From
// a peer that may not assert any there are none, and its headers are not to be passed on.
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
