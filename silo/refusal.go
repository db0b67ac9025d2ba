package silo

import (
	"context"
	"errors"
	"slices"
	"time"

	"silod/delivery"
	"silod/sip"
	"silod/watch"
)

// A message that a device has refused is marked with that device, which is not asked again.
// If all registered devices of the owner have refused it, it is set aside, for
// administrators, and its sender is notified. A device that registers later still gets it.

// withoutMarked has an item sent only to devices without a mark.
func withoutMarked(it *delivery.Item, devices []delivery.Device, marks []Copy) {
	for _, c := range marks {
		it.Refused = append(it.Refused, c.Device)
	}
	for _, d := range devices {
		if !slices.Contains(it.Refused, d.Name) {
			it.Devices = append(it.Devices, d)
		}
	}
	it.Partial = len(it.Devices) < len(devices)
}

// marksOf returns the marks of devices that have refused a message.
func marksOf(refusals []delivery.Refusal) []Copy {
	var marks []Copy
	for _, r := range refusals {
		marks = append(marks, Copy{Device: r.Device, Refused: orRefused(r.Reason)})
	}
	return marks
}

// orRefused returns a reason that is not empty.
func orRefused(reason string) string {
	if reason == "" {
		return "refused"
	}
	return reason
}

// stuck returns the reason for which a message is set aside: a refusal, if all registered
// devices of its owner have refused it. Else it returns "".
func (s *Service) stuck(owner sip.AoR, refusals []delivery.Refusal) string {
	if len(refusals) == 0 || s.opt.Devices == nil {
		return ""
	}
	for _, d := range s.opt.Devices(owner) {
		if !slices.ContainsFunc(refusals, func(r delivery.Refusal) bool { return r.Device == d.Name }) {
			return ""
		}
	}
	return orRefused(refusals[0].Reason)
}

// refused records that devices have refused a message that others may accept. These may have
// gone meanwhile.
func (s *Service) refused(owner sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	marks, all := marksOf(out.Refusals), out.Refusals
	for _, name := range it.Refused {
		all = append(slices.Clip(all), delivery.Refusal{Device: name})
	}
	if s.stuck(owner, all) == "" {
		s.opt.Store.Mark(it.Key, marks, done)
		return
	}
	done(s.setAside(it.Row.(*Message), out.Reason, marks))
}

// Refuse records that devices have refused a message after it was stored under an ID. It
// calls done when that is durable or has failed.
func (s *Service) Refuse(owner sip.AoR, id int64, refusals []delivery.Refusal, done func(error)) {
	marks, reason := marksOf(refusals), s.stuck(owner, refusals)
	if reason == "" {
		s.opt.Store.Mark(id, marks, done)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	row, err := s.opt.Store.Get(ctx, id)
	cancel()
	switch {
	case errors.Is(err, ErrNotFound):
		err = nil
	case err == nil:
		row.takeInternal()
		err = s.setAside(&row, reason, marks)
	}
	done(err)
}

const settleTimeout = 15 * time.Second

// setAside sets a message aside, with the marks of the devices that have refused it. If it is
// set aside already, and one more device has refused it, its sender has been notified.
func (s *Service) setAside(row *Message, reason string, marks []Copy) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	found, err := s.opt.Store.SetAside(ctx, row.ID, reason, marks)
	if found && row.Stuck == "" {
		s.Stats.Refused.Inc()
		s.publish(watch.SetAside, row, reason)
		s.notifyFailed(ctx, row)
	}
	return err
}
