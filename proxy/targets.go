package proxy

import (
	"slices"

	"silod/registrar"
	"silod/sip"
)

// Online reports whether something can be sent to an AoR now: to a registered user of
// ours, and to any address elsewhere.
func (s *Sender) Online(a sip.AoR) bool {
	p := s.proxy
	return s.settings.Load().OutboundProxy != nil || !p.domains.Has(a.Domain) ||
		p.location.Online(a) || len(p.mailboxes.onlineUsers(a, p.location.Online)) > 0
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

// Devices returns the devices to which a message for owner is sent. It implements Directory.
func (s *Sender) Devices(owner sip.AoR) []Device { return s.devices(owner, "", "") }

// directory returns a Directory of the devices with a name, or with a contact; "" stands for
// any.
func (s *Sender) directory(name, contact string) Directory {
	if name == "" && contact == "" {
		return s
	}
	return &selection{s, name, contact}
}

// A selection is the Directory of some devices of each user.
type selection struct {
	sender        *Sender
	name, contact string
}

func (d *selection) Devices(owner sip.AoR) []Device {
	return d.sender.devices(owner, d.name, d.contact)
}

// devices returns the devices to which a message for owner is sent. Of a user of ours these
// are all, or those with a name, or the one with a contact; "" stands for any. A user of
// another domain is reached at the AoR, and so is every user if there is an outbound proxy.
func (s *Sender) devices(owner sip.AoR, name, contact string) []Device {
	next := s.settings.Load().OutboundProxy
	if next == nil {
		bs := s.proxy.bindings(owner)
		if contact != "" {
			bs, contact = bindingsFor(bs, contact)
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
