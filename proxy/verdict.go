package proxy

import (
	"context"
	"slices"

	"silod/delivery"
)

// verdict returns the meaning of an outcome for a queued message that was sent to all devices
// of its owner, and whose queue does not record refusals of devices.
func verdict(out *Outcome) delivery.Outcome {
	v := summary(out)
	if v.Verdict == delivery.Undelivered && out.Open == 0 && out.Response != nil && (out.Response.Status >= 600 || refused(out)) {
		v.Verdict = delivery.Refused
	}
	return v
}

// A queued message on its way whose queue records refusals: to all devices that may accept
// it, to some of them, or to an address elsewhere that stands for the known devices.
type (
	sentToAll     struct{ fork *Fork }
	sentToSome    struct{ fork *Fork }
	sentElsewhere struct {
		fork  *Fork
		known []delivery.Device
	}
)

// Wait is that of sent.
func (s sentToAll) Wait(ctx context.Context) delivery.Outcome { return s.fork.perDevice(ctx, nil) }

// Wait is that of sent. The message is never refused by all devices.
func (s sentToSome) Wait(ctx context.Context) delivery.Outcome {
	v := s.fork.perDevice(ctx, nil)
	if v.Verdict == delivery.Refused {
		v.Verdict = delivery.Undelivered
	}
	return v
}

// Wait is that of sent.
func (s sentElsewhere) Wait(ctx context.Context) delivery.Outcome {
	return s.fork.perDevice(ctx, s.known)
}

// perDevice waits for a Fork and returns its verdict with the answers of devices.
func (k *Fork) perDevice(ctx context.Context, known []delivery.Device) delivery.Outcome {
	defer k.Abandon()
	out := k.Wait(ctx, 0)
	if out.Accepted() {
		return verdict(&out)
	}
	names := make([]string, len(k.attempts))
	for i := range k.attempts {
		names[i] = k.attempts[i].device
	}
	return verdictPerDevice(&out, names, known)
}

// verdictPerDevice returns the meaning of an outcome in which the devices with these names
// have not accepted the message. The name "", of an address elsewhere, stands for the devices
// in known.
func verdictPerDevice(out *Outcome, devices []string, known []delivery.Device) delivery.Outcome {
	v := summary(out)
	v.Silent = out.Open > 0 || out.Unreached > 0
	for _, device := range devices {
		names := []string{device}
		if device == "" && len(known) > 0 {
			names = namesOf(known)
		}
		at := slices.IndexFunc(out.Refused, func(r Refusal) bool { return r.Device == device })
		if at < 0 {
			v.Failed = append(v.Failed, names...)
			continue
		}
		for _, name := range names {
			v.Refusals = append(v.Refusals, delivery.Refusal{Device: name, Reason: out.Refused[at].text()})
		}
	}
	if len(v.Failed) == 0 && len(v.Refusals) > 0 {
		v.Verdict = delivery.Refused
	}
	return v
}

func namesOf(ds []delivery.Device) []string {
	names := make([]string, len(ds))
	for i := range ds {
		names[i] = ds[i].Name
	}
	return names
}

// summary returns the outcome without refusals.
func summary(out *Outcome) delivery.Outcome {
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
	return delivery.Outcome{Verdict: delivery.Undelivered, Answered: true, Reason: out.Reason()}
}

// refused reports whether all devices have answered that they will never accept the
// message.
func refused(out *Outcome) bool {
	return out.Unreached == 0 && out.Rerouted == 0 &&
		!slices.ContainsFunc(out.Failures, func(status int) bool { return !refusesMessage(status) })
}
