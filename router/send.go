package router

import (
	"context"
	"fmt"
	"strconv"

	"silod/address"
	"silod/delivery"
	"silod/registrar"
	"silod/stack"
)

// Send brings a queued message to its owner: the engine's Sender. Any device that
// takes it settles it.
func (r *Router) Send(ctx context.Context, owner address.AoR, m *delivery.Message) delivery.Outcome {
	bindings, out := r.targets(ctx, owner)
	if len(bindings) == 0 {
		return out
	}
	f := r.fork(ctx, m, bindings, initialHops, "")
	if f == nil {
		return delivery.Outcome{Verdict: delivery.Offline, Reason: "no device takes messages"}
	}
	defer f.abandon()
	final := true // every device that answered said that it will never take this message
	answered := false
	for f.open > 0 {
		select {
		case <-ctx.Done():
			return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "stopping"}
		case res := <-f.results:
			if f.take(ctx, res) != nil {
				return delivery.Outcome{Verdict: delivery.Delivered}
			}
			answered = answered || res.Err == nil
			final = final && res.Err == nil && never(res.Response.Status)
		}
	}
	if f.best != nil && (f.best.Status >= 600 || answered && final && f.unreached == 0) {
		return delivery.Outcome{Verdict: delivery.Refused, Reason: answerText(f.best)}
	}
	if f.best != nil {
		return delivery.Outcome{Verdict: delivery.Undelivered, Reason: answerText(f.best)}
	}
	return delivery.Outcome{Verdict: delivery.Undelivered, Reason: "no device answered"}
}

// initialHops is the Max-Forwards of what we send ourselves.
const initialHops = 70

// targets are the bindings of a user of ours. Somebody else's user is reached at
// the AoR itself.
func (r *Router) targets(ctx context.Context, owner address.AoR) ([]registrar.Binding, delivery.Outcome) {
	if r.Domains.Has(owner.Domain) {
		return r.Location.Bindings(owner), delivery.Outcome{Verdict: delivery.Offline, Reason: "not registered"}
	}
	u, err := address.ParseURI(owner.String())
	if err != nil {
		return nil, delivery.Outcome{Verdict: delivery.Refused, Reason: err.Error()}
	}
	flow, err := r.Stack.Reach(ctx, u)
	if err != nil {
		return nil, delivery.Outcome{Verdict: delivery.Undelivered, Reason: err.Error()}
	}
	return []registrar.Binding{{Contact: u.String(), Flow: flow.String()}}, delivery.Outcome{}
}

// Online tells whether something can be sent to an AoR now: a registered user of
// ours, and anybody elsewhere, whom DNS may find.
func (r *Router) Online(a address.AoR) bool {
	return !r.Domains.Has(a.Domain) || r.Location.Online(a)
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
