package router

import (
	"context"
	"fmt"
	"strconv"

	"silod/address"
	"silod/delivery"
	"silod/stack"
)

// Sender brings queued messages to their owners. With a Proxy everything goes
// there, with the AoR as Request-URI, and the proxy finds the devices.
type Sender struct {
	*Router
	Proxy *address.URI
}

// Send brings a message to its owner. Any device that takes it settles it.
func (s Sender) Send(ctx context.Context, owner address.AoR, m *delivery.Message) delivery.Outcome {
	ds, out := s.targets(ctx, owner)
	f := s.fork(ctx, m, ds, initialHops, "")
	if f == nil {
		return out
	}
	defer f.abandon()
	final := f.unreached == 0 // every device that answered said that it will never take this message
	for f.open > 0 {
		select {
		case <-ctx.Done():
			return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "stopping"}
		case res := <-f.results:
			if f.take(ctx, res) != nil {
				return delivery.Outcome{Verdict: delivery.Delivered}
			}
			final = final && res.Err == nil && never(res.Response.Status)
		}
	}
	switch {
	case f.best == nil:
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no device answered"}
	case f.best.Status >= 600 || final:
		return delivery.Outcome{Verdict: delivery.Refused, Reason: answerText(f.best)}
	}
	return delivery.Outcome{Verdict: delivery.Undelivered, Reason: answerText(f.best)}
}

// initialHops is the Max-Forwards of what we send ourselves.
const initialHops = 70

// targets are the devices of a user of ours. Somebody else's user is reached at
// the AoR, and so is everybody where there is a proxy that knows better. Without
// any, the outcome says why.
func (s Sender) targets(ctx context.Context, owner address.AoR) ([][]hop, delivery.Outcome) {
	ours := s.Domains.Has(owner.Domain)
	if ours && s.Proxy == nil {
		return devices(s.Location.Bindings(owner)), delivery.Outcome{Verdict: delivery.Offline, Reason: "no device is registered that takes messages"}
	}
	next := s.Proxy
	if next == nil {
		next = s.OutboundProxy
	}
	if next == nil {
		u, err := address.ParseURI(owner.String())
		if err != nil {
			return nil, delivery.Outcome{Verdict: delivery.Refused, Reason: err.Error()}
		}
		next = &u
	}
	ts, err := s.Stack.Resolve(ctx, *next)
	if err != nil {
		return nil, delivery.Outcome{Verdict: delivery.Undelivered, Reason: err.Error()}
	}
	one := make([]hop, len(ts))
	for i := range ts {
		one[i].Contact, one[i].target = owner.String(), ts[i]
	}
	return [][]hop{one}, delivery.Outcome{}
}

// Online tells whether something can be sent to an AoR now: a registered user of
// ours, and anybody elsewhere, whom DNS or the proxy may find.
func (s Sender) Online(a address.AoR) bool {
	return s.Proxy != nil || !s.Domains.Has(a.Domain) || s.Location.Online(a)
}

// never tells the answers that are about the message and not about the moment: it
// would block all that wait behind it, for nothing.
func never(status int) bool {
	switch status {
	case 400, 413, 414, 415, 416, 420, 421, 488, 493, 505, 513:
		return true
	}
	return status >= 600
}

func answerText(m *stack.Message) string {
	return strconv.Itoa(m.Status) + " " + m.Reason
}

// Outbox is the way out for what the rooms say to one person: stored first, so
// that a promise is kept, and delivered at once where that person is online.
type Outbox struct{ *Router }

// Send stores m for to.
func (o Outbox) Send(ctx context.Context, to address.AoR, m delivery.Message) error {
	if _, err := o.Silo.Put(ctx, to, &m); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}
