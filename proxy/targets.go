package proxy

import (
	"silod/im"
	"silod/registrar"
	"silod/sip"
)

// Online reports whether a message can be sent to an AoR at once: to a registered user of
// ours, and to any address elsewhere. That an outbound proxy can be asked does not count.
func (s *Sender) Online(a sip.AoR) bool {
	p := s.proxy
	return !p.domains.Has(a.Domain) || p.location.Online(a) || len(p.mailboxes.onlineUsers(a, p.location.Online)) > 0
}

// Knows reports whether the devices of a user are registered here if there are any: no outbound
// proxy and no other server knows them.
func (s *Sender) Knows(a sip.AoR) bool {
	return s.settings.Load().OutboundProxy == nil && s.proxy.domains.Has(a.Domain)
}

// Reachable reports whether a message to an AoR can be tried: it is online, or an outbound
// proxy may know its devices. own reports that silod itself is the sender, so that the proxy of
// rooms counts.
func (s *Sender) Reachable(a sip.AoR, own bool) bool {
	set := s.settings.Load()
	return set.OutboundProxy != nil || own && set.RoomProxy != nil || s.Online(a)
}

// DeviceNames returns the names of the devices of a user that allow MESSAGE. If an
// outbound proxy or another server knows the devices, their one name is "".
func (s *Sender) DeviceNames(a sip.AoR) []string {
	if s.settings.Load().OutboundProxy != nil || !s.proxy.domains.Has(a.Domain) {
		return []string{""}
	}
	return namesOf(s.Registered(a))
}

// Devices returns the devices to which a message for owner is sent that is not from a room. It
// implements Directory.
func (s *Sender) Devices(owner sip.AoR) []Device {
	return s.devices(owner, "", "", s.settings.Load().OutboundProxy)
}

// nextHop returns the outbound proxy for a message, nil if there is none.
func (s *Sender) nextHop(m *im.Message) *sip.URI {
	set := s.settings.Load()
	if set.RoomProxy == nil {
		return set.OutboundProxy
	}
	if from, err := sip.ParseNameAddr(m.From); err == nil {
		if a, ours := s.proxy.domains.AoR(from.URI); ours && s.proxy.isRoom(a) {
			return set.RoomProxy
		}
	}
	return set.OutboundProxy
}

// devices returns the devices to which a message for owner is sent. Of a user of ours these
// are all, or those with a name, or the one with a contact; "" stands for any. A user of
// another domain is reached at the AoR, and so is every user if next, the outbound proxy, is
// not nil.
func (s *Sender) devices(owner sip.AoR, name, contact string, next *sip.URI) []Device {
	p := s.proxy
	if contact != "" && p.isOwn(contact) {
		contact = ""
	}
	if next == nil {
		bs := p.bindings(owner)
		if contact != "" {
			bs, contact = bindingsFor(bs, contact)
		}
		if contact == "" && (len(bs) > 0 || p.domains.Has(owner.Domain)) {
			if name == "" {
				return devices(bs)
			}
			return named(devices(bs), []string{name})
		}
	}
	uri := contact
	if uri == "" {
		uri = owner.String()
	}
	return []Device{p.Elsewhere(uri, next)}
}

// bindingsFor returns the binding with a contact that a queued message names. If the user has
// registered other contacts only, it returns all of them: registrations are more reliable
// than the Contact of a message. If the user has none, elsewhere is the contact.
func bindingsFor(bs []registrar.Binding, contact string) (found []registrar.Binding, elsewhere string) {
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
