package proxy

import (
	"silod/registrar"
	"silod/sip"
)

// Elsewhere returns a URI that is not registered here as a device. Requests to it go to
// next if that is not nil, else to the outbound proxy of the settings, else to the servers
// of the URI. The next hop is resolved when something is sent: see Outcome.Unresolved.
func (p *Proxy) Elsewhere(uri string, next *sip.URI) Device {
	if next == nil {
		next = p.settings.Load().OutboundProxy
	}
	return Device{Routes: []Route{{URI: uri, Next: next}}}
}

// bindingFor returns the binding with a contact that a queued message names. If the user
// has registered other contacts only, it returns all of them: registrations are more
// reliable than a Contact header. If the user has none, elsewhere is the contact.
func bindingFor(bs []registrar.Binding, contact string) (found []registrar.Binding, elsewhere string) {
	u, err := sip.ParseURI(contact)
	if err != nil {
		return bs, ""
	}
	for _, b := range bs {
		if c, err := sip.ParseURI(b.Contact); err == nil && c.Equal(u) {
			return []registrar.Binding{b}, ""
		}
	}
	if len(bs) > 0 {
		return bs, ""
	}
	return nil, contact
}
