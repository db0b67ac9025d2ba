package proxy

import (
	"slices"

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

// Reachable reports whether a message to an AoR can be tried: it is online, or an outbound
// proxy may know its devices.
func (s *Sender) Reachable(a sip.AoR) bool {
	set := s.settings.Load()
	return set.OutboundProxy != nil || set.RoomProxy != nil || s.Online(a)
}

// DeviceNames returns the names of the devices of a user that allow MESSAGE. If an
// outbound proxy or another server knows the devices, their one name is "".
func (s *Sender) DeviceNames(a sip.AoR) []string {
	if s.settings.Load().OutboundProxy != nil || !s.proxy.domains.Has(a.Domain) {
		return []string{""}
	}
	var names []string
	for _, b := range s.proxy.bindings(a) {
		if name := deviceName(&b); b.Allows("MESSAGE") && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
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
	if next == nil {
		bs := s.proxy.bindings(owner)
		if contact != "" {
			bs, contact = bindingsFor(bs, contact)
			if u, err := sip.ParseURI(contact); err == nil && s.proxy.own.IsNextHop(u) {
				contact = ""
			}
		}
		if contact == "" && (len(bs) > 0 || s.proxy.domains.Has(owner.Domain)) {
			ds := devices(bs)
			if name != "" {
				ds = slices.DeleteFunc(ds, func(d Device) bool { return d.Name != name })
			}
			return ds
		}
	}
	uri := contact
	if uri == "" {
		uri = owner.String()
	}
	return []Device{s.proxy.Elsewhere(uri, next)}
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
