package silo

import (
	"context"

	"silod/delivery"
	"silod/im"
	"silod/sip"
)

// WrapSender returns a Sender for the messages of s. It refuses those of which no
// request can be made, and counts failures.
func (s *Service) WrapSender(next delivery.Sender) delivery.Sender { return sender{next, s} }

type sender struct {
	next delivery.Sender
	silo *Service
}

// Send sends an item through the next Sender.
func (o sender) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	if reason := undeliverable(&it.Message); reason != "" {
		return attempt{delivery.Outcome{Verdict: delivery.Refused, Reason: reason}, o.silo, it}
	}
	if p := o.silo.opt.Passed; p != nil && HasStrangerMark(it.Headers) {
		p.Add(it.From, it.CallID, it.Body)
	}
	return attempt{o.next.Send(ctx, owner, it), o.silo, it}
}

// Alive asks the next Sender.
func (o sender) Alive(ctx context.Context, owner sip.AoR, devices []string) bool {
	return o.next.Alive(ctx, owner, devices)
}

// An attempt counts a failure.
type attempt struct {
	next delivery.Attempt
	silo *Service
	item *delivery.Item
}

// Wait waits for the outcome.
func (a attempt) Wait(ctx context.Context) delivery.Outcome {
	out := a.next.Wait(ctx)
	if row, ok := a.item.Row.(*Message); ok && ctx.Err() == nil && out.Verdict != delivery.Delivered && out.Verdict != delivery.Offline {
		if row.SendAt.IsZero() {
			a.silo.Stats.Failed.Inc()
		} else {
			a.silo.Stats.FailedReminders.Inc()
		}
	}
	return out
}

// undeliverable returns why no request can be made of a stored message, "" if one can.
// It concerns rows that Kamailio or an administrator has written.
func undeliverable(m *im.Message) string {
	if _, err := sip.ParseNameAddr(m.From); err != nil {
		return "sender cannot be read: " + err.Error()
	}
	if _, err := sip.ParseNameAddr(m.To); err != nil {
		return "recipient cannot be read: " + err.Error()
	}
	return ""
}
