package router

import (
	"context"
	"errors"
	"time"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// register handles a REGISTER (RFC 3261 section 10.3). Once its answer has left, messages
// that wait for the user are delivered.
func (r *Router) register(tx *transaction.ServerTx, p parties, from caller) transaction.Work {
	r.Stats.Registers.Inc()
	reg, refusal := r.parseRegister(tx, p, from)
	if refusal != nil {
		tx.Respond(refusal.Status, refusal.Reason)
		return nil
	}
	if res, ok, err := r.opt.Location.Refresh(reg); ok {
		r.answerRegister(tx, from, reg, res, err)
		return nil
	}
	return func(ctx context.Context) {
		if len(reg.Contacts) > 0 && !r.opt.Location.Online(reg.AoR) && !r.opt.Silo.Every() {
			// A message must not overtake those that wait while the user comes online, which no
			// mere refresh does. So the queue is busy before the devices become visible, until
			// it is woken.
			defer r.opt.Queue.Hold(reg.AoR)()
		}
		res, err := r.opt.Location.Update(ctx, reg)
		r.answerRegister(tx, from, reg, res, err)
	}
}

// answerRegister answers a REGISTER that was carried out or refused, and then has waiting
// messages delivered. The answer leaves first, so that the client knows that it is registered
// when they arrive.
func (r *Router) answerRegister(tx *transaction.ServerTx, from caller, reg *registrar.Register, res registrar.Registered, err error) {
	if err != nil {
		r.rejectRegister(tx, reg.AoR, err)
		return
	}
	tx.Respond(200, "", r.registered(tx, reg, res.Bindings)...)
	if r.opt.Watch.Active() && len(reg.Contacts) > 0 {
		r.publishRegistered(reg, res.Bindings)
	}
	switch {
	case len(reg.Contacts) == 0:
	case len(res.Bindings) == 0:
		tx.AfterReply(func() { r.opt.Proxy.Registered(reg.AoR) })
	case r.opt.Now().Sub(res.Refreshed) >= mailboxPollInterval:
		tx.AfterReply(func() { r.wakeRegistered(tx, from, reg.AoR) })
	case r.opt.Engine.Pending(reg.AoR):
		tx.AfterReply(func() { r.opt.Engine.Refreshed(reg.AoR) })
	}
}

// rejectRegister answers a REGISTER that was refused or could not be stored.
func (r *Router) rejectRegister(tx *transaction.ServerTx, a sip.AoR, err error) {
	var refusal *registrar.Error
	switch {
	case errors.As(err, &refusal):
		tx.Respond(refusal.Status, refusal.Reason)
	case errors.Is(err, registrar.ErrInvalid):
		// Another try would fail too.
		tx.Respond(400, "This registration cannot be stored, a value is too long or not UTF-8")
	default:
		r.opt.Log.Error("registration not stored", "aor", a, "error", err)
		reason := "Registration cannot be stored now"
		if errors.Is(err, registrar.ErrNumbers) {
			reason += ", the numbers of contacts are used up until the administrator raises their limit"
		}
		tx.Unavailable(reason)
	}
}

// mailboxPollInterval is the shortest time between two queries for the messages of a user
// while its devices only refresh. Messages stored by this process are known without a query;
// those that other programs have stored in the same tables wait as long.
const mailboxPollInterval = 10 * time.Second

// wakeRegistered starts the delivery of the messages that wait for a user who has registered,
// also of those in the mailbox that dump_owner names. Messages that are under way follow the
// registration.
func (r *Router) wakeRegistered(tx *transaction.ServerTx, from caller, user sip.AoR) {
	r.opt.Proxy.Registered(user)
	if r.opt.Silo.OtherMailboxes() {
		in := incomingOf(tx, from, user)
		if owner := r.opt.Silo.OtherMailbox(&in); owner != user {
			r.opt.Proxy.ShareMailbox(owner, user)
			r.opt.Proxy.Registered(owner)
			r.opt.Queue.Wake(owner)
		}
	}
	r.opt.Engine.Wake(user)
}

// BindingsChanged starts the delivery of the messages that wait for a user after a change of
// its bindings by an administrator, as wakeRegistered does.
func (r *Router) BindingsChanged(user sip.AoR) {
	r.opt.Proxy.Registered(user)
	if r.opt.Location.Online(user) {
		r.opt.Engine.Wake(user)
	}
}
