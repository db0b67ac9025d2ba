package router

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"silod/delivery"
	"silod/im"
	"silod/registrar"
	"silod/silo"
	"silod/sip"
	"silod/stack"
)

// Sender brings queued messages to their owners. With a proxy everything goes
// there, with the AoR as Request-URI, and the proxy finds the devices.
type Sender struct {
	*Router
	proxy atomic.Pointer[sip.URI]
}

// SetProxy names the next hop for everything; nil for none.
func (s *Sender) SetProxy(u *sip.URI) { s.proxy.Store(u) }

// Send puts a message on its way to its owner. Any device that takes it settles it.
func (s *Sender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	return s.send(ctx, owner, "", it)
}

func (s *Sender) send(ctx context.Context, owner sip.AoR, device string, it *delivery.Item) delivery.Attempt {
	ds, out := s.targets(ctx, owner, device, it.Contact)
	if f := s.fork(ctx, owner, &it.Message, ds, initialHops); f != nil {
		return sent{f}
	}
	return out
}

// sent is a queued message on its way.
type sent struct{ *fork }

// Wait waits until a device takes the message, or none will.
func (f sent) Wait(ctx context.Context) delivery.Outcome {
	defer f.abandon()
	final := f.unreached == 0 // every device that answered said that it will never take this message
	for f.open > 0 {
		select {
		case <-ctx.Done():
			return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no answer in time", Answered: f.answered}
		case res := <-f.results:
			if f.take(ctx, res) != nil {
				return delivery.Outcome{Verdict: delivery.Delivered, Answered: true}
			}
			final = final && res.Err == nil && never(res.Response.Status)
		}
	}
	switch {
	case f.best == nil:
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no device answered"}
	case f.best.Status >= 600 || final:
		return delivery.Outcome{Verdict: delivery.Refused, Reason: answerText(f.best), Answered: true}
	}
	return delivery.Outcome{Verdict: delivery.Undelivered, Reason: answerText(f.best), Answered: true}
}

// initialHops is the Max-Forwards of what we send ourselves.
const initialHops = 70

// never tells the answers that are about the message and not about the moment: it
// would block all that wait behind it, for nothing.
func never(status int) bool {
	switch status {
	case 400, 413, 414, 415, 416, 420, 421, 488, 493, 505, 513:
		return true
	}
	return status >= 600
}

func answerText(m *sip.Message) string {
	return strconv.Itoa(m.Status) + " " + m.Reason
}

// targets are the devices of a user of ours, or the one that is named, or the one
// whose contact is. Somebody else's user is reached at the AoR, and so is everybody
// where there is a proxy that knows better. Without any, the outcome says why.
func (s *Sender) targets(ctx context.Context, owner sip.AoR, device, contact string) ([][]hop, delivery.Outcome) {
	if s.proxy.Load() == nil {
		bs := s.bindings(owner)
		if contact != "" {
			bs, contact = atContact(bs, contact)
		}
		if device != "" {
			bs = slices.DeleteFunc(bs, func(b registrar.Binding) bool { return deviceOf(&b) != device })
		}
		if contact == "" && (len(bs) > 0 || s.Domains.Has(owner.Domain)) {
			return devices(bs), delivery.Outcome{Verdict: delivery.Offline, Reason: "no device is registered that takes messages"}
		}
	}
	uri := owner.String()
	if contact != "" {
		uri = contact
	}
	ts, err := s.resolve(ctx, uri)
	if err != nil {
		return nil, delivery.Outcome{Verdict: delivery.Undelivered, Reason: err.Error()}
	}
	one := make([]hop, len(ts))
	for i := range ts {
		one[i] = hop{&registrar.Binding{Contact: uri}, ts[i]}
	}
	return [][]hop{one}, delivery.Outcome{}
}

// resolve finds the way to a URI that nobody has registered: by the proxy, or DNS.
func (s *Sender) resolve(ctx context.Context, uri string) ([]stack.Target, error) {
	next := s.proxy.Load()
	if next == nil {
		next = s.settings.Load().OutboundProxy
	}
	if next == nil {
		u, err := sip.ParseURI(uri)
		if err != nil {
			return nil, fmt.Errorf("read address: %w", err)
		}
		next = &u
	}
	return s.Stack.Resolve(ctx, *next)
}

// atContact gives the binding that a contact names. Where a user has registered,
// but not that, it is not believed: the devices that we know are better. Only one
// who has no devices here is sought where the contact says: left is then what is
// left to be resolved.
func atContact(bs []registrar.Binding, contact string) (found []registrar.Binding, left string) {
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

// Online tells whether something can be sent to an AoR now: a registered user of
// ours, and anybody elsewhere, whom DNS or the proxy may find.
func (s *Sender) Online(a sip.AoR) bool {
	return s.proxy.Load() != nil || !s.Domains.Has(a.Domain) || s.Location.Online(a) || len(s.boxes.of(a, s.Location.Online)) > 0
}

// Outbox is the way out for what the rooms say to one person: stored first, so
// that a promise is kept, and delivered at once where that person is online.
type Outbox struct{ *Router }

// Send stores m for to.
func (o Outbox) Send(ctx context.Context, to sip.AoR, m im.Message) error {
	if _, err := o.Silo.Put(ctx, &silo.Incoming{Owner: to, URI: to.String(), Message: &m, SafetyCopy: true}); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}
