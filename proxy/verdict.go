package proxy

import (
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

// verdictPerDevice is verdict for a message whose queue records refusals. ds are the devices
// that the message was sent to, leftOut says that others may accept it later. An address
// elsewhere stands for the devices in known.
func verdictPerDevice(out *Outcome, ds []Device, leftOut bool, known []delivery.Device) delivery.Outcome {
	v := summary(out)
	if v.Verdict == delivery.Delivered {
		return v
	}
	v.Silent = out.Open > 0 || out.Unreached > 0
	for i := range ds {
		names := []string{ds[i].Name}
		if ds[i].Name == "" && len(known) > 0 {
			names = namesOf(known)
		}
		at := slices.IndexFunc(out.Refused, func(r Refusal) bool { return r.Device == ds[i].Name })
		if at < 0 {
			v.Failed = append(v.Failed, names...)
			continue
		}
		for _, name := range names {
			v.Refusals = append(v.Refusals, delivery.Refusal{Device: name, Reason: out.Refused[at].text()})
		}
	}
	if len(v.Failed) == 0 && len(v.Refusals) > 0 && !leftOut {
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
