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

// What follows is only called while somebody watches.

func (r *Router) tell(what string, user sip.AoR, m *im.Message) {
	r.Watch.Publish(watch.Event{
		What: what, User: user, From: m.From, CallID: m.CallID, Type: m.Header("Content-Type"), Body: m.Body,
	})
}

// tellAnswer tells what the sender of a MESSAGE was told.
func (r *Router) tellAnswer(tx *transaction.ServerTx) {
	what := watch.Rejected
	status, reason := tx.Answer()
	if status/100 == 2 {
		what = watch.Accepted
	}
	user, _ := r.Domains.AoR(tx.Request.Target)
	r.Watch.Publish(watch.Event{
		What: what, User: user, From: tx.Request.Get("From"), CallID: tx.Request.Get("Call-ID"), Status: status, Reason: reason,
	})
}

// tellRegistered tells of each contact that a REGISTER names, and what became of it.
func (r *Router) tellRegistered(reg *registrar.Register, bindings []registrar.Binding) {
	for _, c := range reg.Contacts {
		e := watch.Event{What: watch.Registered, User: reg.AoR, Contact: c.URI.String(), CallID: reg.CallID}
		switch i := slices.IndexFunc(bindings, func(b registrar.Binding) bool { return b.Contact == e.Contact }); {
		case c.Star:
			e.Contact, e.Reason = "*", "all removed"
		case i < 0:
			e.Reason = "removed"
		default:
			e.Reason = "for " + bindings[i].Expires.Sub(r.Now()).Round(time.Second).String()
		}
		r.Watch.Publish(e)
	}
}
