package proxy

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"

	"silod/delivery"
	"silod/registrar"
	"silod/sip"
)

// SenderSettings are what Configure can change while a Sender is used.
type SenderSettings struct {
	// OutboundProxy is the next hop for all messages, which have the AoR as Request-URI:
	// it knows the devices. nil: none.
	OutboundProxy *sip.URI
}

// A Sender sends the messages of a delivery queue to their recipients. It implements
// delivery.Sender.
type Sender struct {
	proxy    *Proxy
	settings atomic.Pointer[SenderSettings]
}

// Sender returns a sender.
func (p *Proxy) Sender(set SenderSettings) *Sender {
	s := &Sender{proxy: p}
	s.Configure(set)
	return s
}

// Configure replaces the settings.
func (s *Sender) Configure(set SenderSettings) { s.settings.Store(&set) }

// Send sends a message to the devices of its recipient. It is delivered when one of them
// accepts it.
func (s *Sender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return s.send(ctx, owner, "", it)
}

// Alive reports whether a device of a user responds to OPTIONS (RFC 3261 section 11).
func (s *Sender) Alive(ctx context.Context, owner sip.AoR) bool {
	return s.proxy.responds(ctx, s.devices(owner, "", ""))
}

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

// Device returns the sender to the devices with a name. A queue that keeps a copy for each
// device has one such sender for each name.
func (s *Sender) Device(name string) delivery.Sender { return deviceSender{sender: s, name: name} }

// A deviceSender implements delivery.Sender for the devices with one name.
type deviceSender struct {
	sender *Sender
	name   string
}

func (d deviceSender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return d.sender.send(ctx, owner, d.name, it)
}

func (d deviceSender) Alive(ctx context.Context, owner sip.AoR) bool {
	return d.sender.proxy.responds(ctx, d.sender.devices(owner, d.name, ""))
}

// send sends a message to the devices with a name, "" for any.
func (s *Sender) send(ctx context.Context, owner sip.AoR, name string, it *delivery.Item) delivery.Attempt {
	ds := s.devices(owner, name, it.Contact)
	if len(ds) == 0 {
		return delivery.Outcome{Verdict: delivery.Offline, Reason: "no registered device accepts messages"}
	}
	return sent{s.proxy.Fork(ctx, &it.Message, ds, ForkOptions{Recipient: owner, MaxForwards: initialMaxForwards})}
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

// sent is a queued message on its way.
type sent struct{ fork *Fork }

// Wait waits until a device has accepted the message or none can, or until ctx ends.
func (s sent) Wait(ctx context.Context) delivery.Outcome {
	defer s.fork.Abandon()
	out := s.fork.Wait(ctx, 0)
	return verdict(&out)
}

// verdict returns what an outcome means for a queued message.
func verdict(out *Outcome) delivery.Outcome {
	switch {
	case out.Accepted():
		return delivery.Outcome{Verdict: delivery.Delivered, Answered: true}
	case out.Open > 0:
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no answer in time", Answered: out.Answered}
	case out.Response == nil && out.Unresolved != nil:
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: out.Unresolved.Error()}
	case out.Response == nil:
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no device answered"}
	}
	v := delivery.Outcome{
		Verdict: delivery.Undelivered, Answered: true,
		Reason: strconv.Itoa(out.Response.Status) + " " + out.Response.Reason,
	}
	if out.Response.Status >= 600 || refused(out) {
		v.Verdict = delivery.Refused
	}
	return v
}

// refused reports whether all devices have answered that they will never accept the
// message.
func refused(out *Outcome) bool {
	return out.Unreached == 0 && out.Rerouted == 0 &&
		!slices.ContainsFunc(out.Failures, func(status int) bool { return !permanentFailure(status) })
}

// permanentFailure reports whether a status is about the message and not about the
// moment. Another attempt would only delay the messages behind it.
func permanentFailure(status int) bool {
	switch status {
	case 400, 413, 414, 415, 416, 420, 421, 488, 493, 505, 513:
		return true
	}
	return status >= 600
}
