package router

import (
	"slices"
	"time"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
	"silod/watch"
)

// The functions below are called only while events are watched.

func (r *Router) publishReceived(user sip.AoR, m *im.Message) {
	r.opt.Watch.Publish(watch.Event{
		What: watch.Received, User: user, From: m.From, CallID: m.CallID, Type: m.Header("Content-Type"), Body: m.Body,
	})
}

// publishAnswer publishes the answer to a MESSAGE.
func (r *Router) publishAnswer(tx *transaction.ServerTx) {
	what := watch.Rejected
	status, reason := tx.Answer()
	if status/100 == 2 {
		what = watch.Accepted
	}
	user, _ := r.opt.Domains.AoR(tx.Request.Target)
	r.opt.Watch.Publish(watch.Event{
		What: what, User: user, From: tx.Request.Get("From"), CallID: tx.Request.Get("Call-ID"), Status: status, Reason: reason,
	})
}

// publishRegistered publishes the result of a REGISTER for each of its contacts.
func (r *Router) publishRegistered(reg *registrar.Register, bindings []registrar.Binding) {
	for _, c := range reg.Contacts {
		e := watch.Event{What: watch.Registered, User: reg.AoR, Contact: c.URI.String(), CallID: reg.CallID}
		switch i := slices.IndexFunc(bindings, func(b registrar.Binding) bool { return b.Contact == e.Contact }); {
		case c.Star:
			e.Contact, e.Reason = "*", "all removed"
		case i < 0:
			e.Reason = "removed"
		default:
			e.Reason = "for " + bindings[i].Expires.Sub(r.opt.Now()).Round(time.Second).String()
		}
		r.opt.Watch.Publish(e)
	}
}
