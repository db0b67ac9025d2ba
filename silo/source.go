package silo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"silod/delivery"
	"silod/im"
	"silod/sip"
	"silod/watch"
)

// Next returns the oldest messages that wait for an owner, ready for delivery.
func (s *Service) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	var devices []delivery.Device
	if s.opt.Devices != nil && s.opt.Store.HasMarks() {
		devices = s.opt.Devices(owner)
	}
	names := make([]string, len(devices))
	for i := range devices {
		names[i] = devices[i].Name
	}
	ms, err := s.opt.Store.Next(ctx, owner, names, after, limit, s.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	if slices.ContainsFunc(ms, func(m Message) bool { return m.Marked }) {
		if err := s.opt.Store.ReadMarks(ctx, ms, names); err != nil {
			return nil, fmt.Errorf("read mailbox: %w", err)
		}
	}
	items := s.items(ms)
	for i := range ms {
		if ms[i].Marked {
			withoutMarked(&items[i], devices, ms[i].Marks)
		}
	}
	return items, nil
}

func (s *Service) items(ms []Message) []delivery.Item {
	cfg, perDevice := s.cfg(), s.opt.Devices != nil
	items := make([]delivery.Item, len(ms))
	for i := range ms {
		m := &ms[i]
		m.size = Size(&m.Message)
		m.prepareForDelivery(cfg)
		items[i] = delivery.Item{
			Message: m.Message, Key: m.ID, Expires: m.Expires, Later: canWait(&m.Message), Row: m, PerDevice: perDevice,
		}
	}
	return items
}

// canWait reports whether a message is delivered after the rest of a mailbox:
// disposition notifications, which are many after a long absence, and messages with
// priority non-urgent.
func canWait(m *im.Message) bool {
	return strings.EqualFold(strings.TrimSpace(m.Header("Priority")), "non-urgent") || isDisposition(m)
}

// Settle deletes a message that was delivered and sets aside one that was refused. If only
// some devices have refused it, it is marked.
func (s *Service) Settle(owner sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	row := it.Row.(*Message)
	switch out.Verdict {
	case delivery.Delivered:
		s.opt.Store.Delete(it.Key, func(err error) {
			if err == nil {
				s.uncount(owner, row.Src, row.size)
				s.delivered(row)
			}
			done(err)
		})
	case delivery.Refused:
		done(s.setAside(row, out.Reason, marksOf(out.Refusals)))
	default:
		s.refused(owner, it, out, done)
	}
}

// publish publishes an event about a stored message.
func (s *Service) publish(what string, m *Message, reason string) {
	if s.opt.Watch.Active() {
		s.opt.Watch.Publish(watch.Event{
			What: what, User: m.Owner, From: m.From, CallID: m.CallID, ID: m.ID, Reason: reason,
			Type: m.Header("Content-Type"), Body: m.Body,
		})
	}
}

func (s *Service) delivered(row *Message) {
	s.publish(watch.Delivered, row, "")
	if row.SendAt.IsZero() {
		s.Stats.Dumped.Inc()
	} else {
		s.Stats.DumpedReminders.Inc()
	}
}

// Waiting calls f for every owner of a message that waits for delivery.
func (s *Service) Waiting(ctx context.Context, f func(sip.AoR)) error {
	if err := s.opt.Store.Waiting(ctx, s.opt.Now(), f); err != nil {
		return fmt.Errorf("find waiting mailboxes: %w", err)
	}
	return nil
}

// Remove deletes the message that Put has stored under an ID: a device has accepted it after
// its sender was answered 202. Remove calls done when that is durable or has failed.
func (s *Service) Remove(in *Incoming, id int64, done func(error)) {
	s.opt.Store.Delete(id, func(err error) {
		if err == nil {
			s.Stats.Dumped.Inc()
			s.uncount(in.Owner, in.src, in.size)
		}
		done(err)
	})
}

// Device returns the Source for one device where every device gets a copy. The device
// "" stands for the first one that accepts a message.
func (s *Service) Device(name string) delivery.Source {
	if name == "" {
		return s
	}
	return deviceSource{s, name}
}

// A deviceSource is the Source of the messages that one device has neither accepted nor
// refused.
type deviceSource struct {
	silo   *Service
	device string
}

// Next returns the oldest messages that wait for the device.
func (d deviceSource) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	ms, err := d.silo.opt.Store.Next(ctx, owner, []string{d.device}, after, limit, d.silo.opt.Now())
	if err != nil {
		return nil, fmt.Errorf("read mailbox for a device: %w", err)
	}
	return d.silo.items(ms), nil
}

// Settle records that the device has accepted its copy or never will. The message is
// kept for other devices until it expires.
func (d deviceSource) Settle(owner sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	s, refused := d.silo, ""
	if out.Verdict != delivery.Delivered {
		refused = orRefused(out.Reason)
	}
	row := it.Row.(*Message)
	s.opt.Store.Mark(it.Key, []Copy{{Device: d.device, Refused: refused}}, func(err error) {
		switch {
		case err != nil:
		case refused == "":
			s.accounts.removed(owner)
			s.delivered(row)
		default:
			s.Stats.Refused.Inc()
			s.publish(watch.SetAside, row, refused)
		}
		done(err)
	})
}

// Waiting calls f for every owner of a message that waits for any device.
func (d deviceSource) Waiting(ctx context.Context, f func(sip.AoR)) error {
	return d.silo.Waiting(ctx, f)
}
