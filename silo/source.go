package silo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"silod/delivery"
	"silod/im"
	"silod/sip"
	"silod/watch"
)

// Next gives what waits for an owner, dressed for delivery.
func (s *Service) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	ms, err := s.opt.Store.Next(ctx, owner, after, limit, s.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	return s.items(ms), nil
}

func (s *Service) items(ms []Message) []delivery.Item {
	cfg := s.cfg()
	items := make([]delivery.Item, len(ms))
	for i := range ms {
		m := &ms[i]
		m.prepareForDelivery(cfg)
		items[i] = delivery.Item{Message: m.Message, Key: m.ID, Expires: m.Expires, Later: canWait(&m.Message), Row: m}
	}
	return items
}

// canWait tells what goes behind the rest of a mailbox: disposition notifications,
// of which one who was away gets many, and what its sender calls non-urgent.
func canWait(m *im.Message) bool {
	return strings.EqualFold(strings.TrimSpace(m.Header("Priority")), "non-urgent") || isDisposition(m)
}

// Settle deletes what was delivered and sets aside what was refused for good.
func (s *Service) Settle(_ sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	row := it.Row.(*Message)
	if out.Verdict == delivery.Delivered {
		s.opt.Store.Delete(it.Key, func(err error) {
			if err == nil {
				s.delivered(row)
			}
			done(err)
		})
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	found, err := s.opt.Store.SetAside(ctx, it.Key, out.Reason)
	if found {
		s.Stats.Refused.Inc()
		s.tell(watch.SetAside, row, out.Reason)
		s.tellFailed(ctx, row)
	}
	done(err)
}

const settleTimeout = 15 * time.Second

// tell tells who watches what became of a stored message.
func (s *Service) tell(what string, m *Message, reason string) {
	if s.opt.Watch.On() {
		s.opt.Watch.Tell(watch.Event{
			What: what, User: m.Owner, From: m.From, CallID: m.CallID, ID: m.ID, Reason: reason,
			Type: m.Header("Content-Type"), Body: m.Body,
		})
	}
}

func (s *Service) delivered(row *Message) {
	s.tell(watch.Delivered, row, "")
	if row.SendAt.IsZero() {
		s.Stats.Dumped.Inc()
	} else {
		s.Stats.DumpedReminders.Inc()
	}
}

// Waiting calls f for every owner with something to deliver.
func (s *Service) Waiting(ctx context.Context, f func(sip.AoR)) error {
	if err := s.opt.Store.Waiting(ctx, s.opt.Now(), f); err != nil {
		return fmt.Errorf("find waiting mailboxes: %w", err)
	}
	return nil
}

// Remove deletes a message that was delivered by another way, by its ID: when the
// device's answer came after the sender had been told that it is stored. done is
// called when it is not there any more, or could not be deleted.
func (s *Service) Remove(id int64, done func()) {
	s.opt.Store.Delete(id, func(err error) {
		if err != nil {
			s.opt.Log.Warn("delivered message not removed", "id", id, "error", err)
		} else {
			s.Stats.Dumped.Inc()
		}
		done()
	})
}

// Device is the Source for one device, where every device gets a copy. The device
// "" stands for whichever takes a message first.
func (s *Service) Device(name string) delivery.Source {
	if name == "" {
		return s
	}
	return copies{s, name}
}

// copies is the silo as one device sees it.
type copies struct {
	*Service
	device string
}

func (c copies) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	ms, err := c.opt.Store.NextFor(ctx, owner, c.device, after, limit, c.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("read mailbox for a device: %w", err)
	}
	return c.items(ms), nil
}

// Settle records that the device has its copy, or will never take it. The message
// stays for the others until it expires.
func (c copies) Settle(_ sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	refused := ""
	if out.Verdict != delivery.Delivered {
		if refused = out.Reason; refused == "" {
			refused = "refused"
		}
	}
	row := it.Row.(*Message)
	c.opt.Store.Mark(it.Key, c.device, refused, func(err error) {
		switch {
		case err != nil:
		case refused == "":
			c.delivered(row)
		default:
			c.Stats.Refused.Inc()
			c.tell(watch.SetAside, row, refused)
		}
		done(err)
	})
}

// WrapSender gives the way to devices that the silo's items take: what cannot be sent is
// refused before it is tried, and failures are counted.
func (s *Service) WrapSender(way delivery.Sender) delivery.Sender { return outgoing{way, s} }

type outgoing struct {
	delivery.Sender
	silo *Service
}

func (o outgoing) Send(ctx context.Context, owner sip.AoR, it *delivery.Item) delivery.Attempt {
	if reason := undeliverable(&it.Message); reason != "" {
		return counted{delivery.Outcome{Verdict: delivery.Refused, Reason: reason}, o.silo, it}
	}
	return counted{o.Sender.Send(ctx, owner, it), o.silo, it}
}

// counted is an item of ours on its way.
type counted struct {
	delivery.Attempt
	silo *Service
	item *delivery.Item
}

func (c counted) Wait(ctx context.Context) delivery.Outcome {
	out := c.Attempt.Wait(ctx)
	if row, ok := c.item.Row.(*Message); ok && ctx.Err() == nil && out.Verdict != delivery.Delivered && out.Verdict != delivery.Offline {
		if row.SendAt.IsZero() {
			c.silo.Stats.Failed.Inc()
		} else {
			c.silo.Stats.FailedReminders.Inc()
		}
	}
	return out
}

// undeliverable says why no MESSAGE can be made of a row, "" where it can. Rows that we
// stored can; Kamailio's and those that were written by hand may not.
func undeliverable(m *im.Message) string {
	if _, err := sip.ParseNameAddr(m.From); err != nil {
		return "no sender can be read: " + err.Error()
	}
	if _, err := sip.ParseNameAddr(m.To); err != nil {
		return "no recipient can be read: " + err.Error()
	}
	return ""
}
