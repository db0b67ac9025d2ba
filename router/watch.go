package router

import (
	"slices"
	"time"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/stack"
	"silod/watch"
)

// What follows is only called while somebody watches.

func (r *Router) tell(what string, user sip.AoR, m *im.Message) {
	r.Watch.Publish(watch.Event{
		What: what, User: user, From: m.From, CallID: m.CallID, Type: m.Header("Content-Type"), Body: m.Body,
	})
}

// tellAnswer tells what the sender of a MESSAGE was told.
func (r *Router) tellAnswer(tx *stack.ServerTx) {
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

func (f *fork) tellSent(contact string) {
	f.router.Watch.Publish(watch.Event{
		What: watch.Sent, User: f.to, From: f.msg.From, CallID: f.msg.CallID, Contact: contact,
		Type: f.msg.Header("Content-Type"), Body: f.msg.Body,
	})
}

// tellAnswered tells a device's answer, or that there is none.
func (f *fork) tellAnswered(res stack.Result) {
	e := watch.Event{What: watch.Answered, User: f.to, From: f.msg.From, CallID: f.msg.CallID}
	if i := slices.IndexFunc(f.attempts, func(a attempt) bool { return a.call == res.Call }); i >= 0 {
		e.Contact = f.attempts[i].contact
	}
	if res.Err != nil {
		e.Reason = "no answer: " + res.Err.Error()
	} else {
		e.Status, e.Reason = res.Response.Status, res.Response.Reason
	}
	f.router.Watch.Publish(e)
}
