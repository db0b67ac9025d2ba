package proxy

import (
	"slices"
	"strconv"

	"silod/delivery"
)

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
