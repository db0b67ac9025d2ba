package router

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// register handles a REGISTER (RFC 3261 section 10.3). Once its answer has left, messages
// that wait for the user are delivered.
func (r *Router) register(tx *transaction.ServerTx, p parties, from caller) (work transaction.Work) {
	r.Stats.Registers.Inc()
	reg, refusal := r.parseRegister(tx, p)
	if refusal != nil {
		tx.Respond(refusal.Status, refusal.Reason)
		return nil
	}
	var release func()
	if len(reg.Contacts) > 0 && !r.opt.Location.Online(reg.AoR) && !r.opt.Silo.Every() {
		// A message must not overtake those that wait while the user comes online. So the queue
		// is busy before the devices become visible, until it is woken.
		release = r.opt.Queue.Hold(reg.AoR)
		defer func() {
			if work == nil { // also after a panic
				tx.AfterReply(release)
			}
		}()
	}
	if res, ok, err := r.opt.Location.Refresh(reg); ok {
		r.answerRegister(tx, from, reg, res, err)
		return nil
	}
	return func(ctx context.Context) {
		if release != nil {
			defer release()
		}
		res, err := r.opt.Location.Update(ctx, reg)
		r.answerRegister(tx, from, reg, res, err)
	}
}

// answerRegister answers a REGISTER that was carried out or refused, and then has waiting
// messages delivered. The answer leaves first, so that the client knows that it is registered
// when they arrive.
func (r *Router) answerRegister(tx *transaction.ServerTx, from caller, reg *registrar.Register, res registrar.Registered, err error) {
	var refusal *registrar.Error
	switch {
	case errors.As(err, &refusal) && refusal.MinExpires > 0:
		tx.Respond(refusal.Status, refusal.Reason, sip.Header{Name: "Min-Expires", Value: strconv.Itoa(refusal.MinExpires)})
		return
	case errors.As(err, &refusal):
		tx.Respond(refusal.Status, refusal.Reason)
		return
	case err != nil:
		r.opt.Log.Error("registration not stored", "aor", reg.AoR, "error", err)
		tx.Unavailable("Registration cannot be stored now")
		return
	}
	tx.Respond(200, "", r.registered(tx, reg, res.Bindings)...)
	if r.opt.Watch.Active() && len(reg.Contacts) > 0 {
		r.publishRegistered(reg, res.Bindings)
	}
	switch {
	case len(reg.Contacts) == 0 || len(res.Bindings) == 0:
	case r.opt.Now().Sub(res.Refreshed) >= mailboxPollInterval:
		tx.AfterReply(func() { r.wakeRegistered(tx, from, reg.AoR) })
	case r.opt.Engine.Pending(reg.AoR):
		tx.AfterReply(func() { r.opt.Engine.RetryNow(reg.AoR) })
	}
}

// mailboxPollInterval is the shortest time between two queries for the messages of a user
// while its devices only refresh. Messages stored by this process are known without a query;
// those that other programs have stored in the same tables wait as long.
const mailboxPollInterval = 10 * time.Second

// parseRegister parses a REGISTER. If it cannot be carried out, it returns the refusal.
func (r *Router) parseRegister(tx *transaction.ServerTx, p parties) (*registrar.Register, *registrar.Error) {
	switch {
	case !tx.Request.To.URI.IsSIP():
		return nil, &registrar.Error{Status: 404, Reason: "Only SIP addresses can be registered here"}
	case !p.toOurs || !r.opt.Domains.Has(tx.Request.Target.Host):
		return nil, &registrar.Error{Status: 404, Reason: "Not a domain of this registrar"}
	case p.to.User == "":
		return nil, &registrar.Error{Status: 400, Reason: "To names no user"}
	case r.opt.Rooms.IsRoom(p.to):
		return nil, &registrar.Error{Status: 403, Reason: "This address is a chat room"}
	}
	reg := &registrar.Register{
		AoR:       p.to,
		Expires:   expires(tx.Request.Get("Expires")),
		CallID:    tx.Request.Get("Call-ID"),
		CSeq:      tx.Request.CSeq,
		Path:      tx.Request.Values("Path"),
		Flow:      func(contact sip.URI) sip.Flow { return flowTo(tx, contact) },
		UserAgent: tx.Request.Get("User-Agent"),
		Methods:   strings.Join(tx.Request.Tokens("Allow"), ", "),
	}
	for _, v := range tx.Request.Values("Contact") {
		list, err := sip.ParseList(v)
		if err != nil {
			return nil, &registrar.Error{Status: 400, Reason: "Bad Contact header, " + err.Error()}
		}
		for _, c := range list {
			if !c.Star && !c.URI.IsSIP() {
				return nil, &registrar.Error{Status: 400, Reason: "Contact is no SIP address"}
			}
		}
		reg.Contacts = append(reg.Contacts, list...)
	}
	return reg, nil
}

// expires returns the value of an Expires header: -1 if there is none, 3600 if it is
// malformed (RFC 3261 section 10.2.1.1).
func expires(v string) int {
	if v == "" {
		return -1
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return 3600
	}
	return int(n)
}

// flowTo returns the flow over which a contact is reached. Over a stream that is the
// connection of the REGISTER. Over UDP it leads to the address of the contact if the
// REGISTER came directly from the client, else, behind a NAT or a proxy or without an
// address in the contact, to the source of the packet.
func flowTo(tx *transaction.ServerTx, contact sip.URI) sip.Flow {
	f := tx.Flow
	if f.Transport != sip.UDP || !tx.Request.Direct(tx.Flow.Remote) {
		return f
	}
	ip, ok := contact.Addr()
	if !ok || ip.IsUnspecified() || ip.IsMulticast() || ip.Is4() != f.Remote.Addr().Is4() {
		return f
	}
	port := contact.Port
	if port == 0 {
		port = 5060
	}
	f.Remote = netip.AddrPortFrom(ip, port)
	return f
}

// registered returns the header fields of the 200: all bindings, the date, and the Path
// if the client supports it (RFC 3327 section 5.3).
func (r *Router) registered(tx *transaction.ServerTx, reg *registrar.Register, bindings []registrar.Binding) []sip.Header {
	now := r.opt.Now()
	hs := make([]sip.Header, 0, len(bindings)+4)
	for i := range bindings {
		hs = append(hs, sip.Header{Name: "Contact", Value: bindings[i].ContactValue(now)})
	}
	tags := tx.Request.OptionTags("Supported")
	if slices.Contains(tags, "path") {
		for _, p := range reg.Path {
			hs = append(hs, sip.Header{Name: "Path", Value: p})
		}
	}
	if slices.Contains(tags, "outbound") && outboundUsed(tx, reg.Contacts) {
		// RFC 5626 section 6: its flows are used, and the device must keep them open.
		hs = append(hs, sip.Header{Name: "Require", Value: "outbound"}, sip.Header{Name: "Flow-Timer", Value: flowTimer})
	}
	return append(hs,
		sip.Header{Name: "Date", Value: now.UTC().Format(httpDate)},
		sip.Header{Name: "Server", Value: r.opt.Server})
}

// flowTimer is the time in seconds within which a device should send a keep-alive.
const flowTimer = "120"

// outboundUsed reports whether a REGISTER has created a flow of RFC 5626: it has a contact
// with instance and reg-id, and came directly from the device.
func outboundUsed(tx *transaction.ServerTx, contacts []sip.NameAddr) bool {
	return len(tx.Request.Values("Via")) == 1 && slices.ContainsFunc(contacts, func(c sip.NameAddr) bool {
		_, instance := c.Params.Get("+sip.instance")
		_, id := c.Params.Get("reg-id")
		return instance && id
	})
}

// httpDate is the layout of a SIP date (RFC 3261 section 20.17).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// wakeRegistered starts the delivery of the messages that wait for a user who has registered,
// also of those in the mailbox that dump_owner names.
func (r *Router) wakeRegistered(tx *transaction.ServerTx, from caller, user sip.AoR) {
	if r.opt.Silo.OtherMailboxes() {
		in := incomingOf(tx, from, user)
		if owner := r.opt.Silo.OtherMailbox(&in); owner != user {
			r.opt.Proxy.ShareMailbox(owner, user)
			r.opt.Queue.Wake(owner)
		}
	}
	r.opt.Engine.Wake(user)
}
