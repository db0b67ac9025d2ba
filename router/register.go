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

func isScheme(err error) bool { return errors.Is(err, sip.ErrScheme) }

// register carries a REGISTER out (RFC 3261 section 10.3). Once its answer has left,
// messages that wait for the user are delivered.
func (r *Router) register(tx *transaction.ServerTx, _ caller) transaction.Work {
	r.Stats.Registers.Inc()
	reg, refusal := r.parseRegister(tx)
	if refusal != nil {
		tx.Respond(refusal.Status, refusal.Reason)
		return nil
	}
	release := func() {}
	if len(reg.Contacts) > 0 && !r.Location.Online(reg.AoR) && !r.Silo.Every() {
		// A message for a user who comes online goes behind those that wait: the queue counts
		// as busy from before the devices can be seen until it is woken.
		release = r.Queue.Hold(reg.AoR)
	}
	if res, ok, err := r.Location.Refresh(reg); ok {
		r.answerRegister(tx, reg, res, err)
		tx.AfterReply(release)
		return nil
	}
	return func(ctx context.Context) {
		defer release()
		res, err := r.Location.Update(ctx, reg)
		r.answerRegister(tx, reg, res, err)
	}
}

// answerRegister answers a REGISTER that was carried out or refused.
func (r *Router) answerRegister(tx *transaction.ServerTx, reg *registrar.Register, res registrar.Registered, err error) {
	var no *registrar.Error
	switch {
	case errors.As(err, &no) && no.MinExpires > 0:
		tx.Respond(no.Status, no.Reason, sip.Header{Name: "Min-Expires", Value: strconv.Itoa(no.MinExpires)})
		return
	case errors.As(err, &no):
		tx.Respond(no.Status, no.Reason)
		return
	case err != nil:
		r.Log.Error("registration not stored", "aor", reg.AoR, "error", err)
		tx.Unavailable("Registration cannot be stored now")
		return
	}
	tx.Respond(200, "", r.registered(tx, res.Bindings)...)
	if r.Watch.Active() && len(reg.Contacts) > 0 {
		r.tellRegistered(reg, res.Bindings)
	}
	switch {
	case len(reg.Contacts) == 0 || len(res.Bindings) == 0:
	case r.Now().Sub(res.Refreshed) >= lookEvery:
		tx.AfterReply(func() { r.arrived(tx, reg.AoR) })
	case r.Engine.Pending(reg.AoR):
		tx.AfterReply(func() { r.Engine.RetryNow(reg.AoR) })
	}
}

// lookEvery is how often, at most, the database is asked what waits for a user whose
// devices do nothing but refresh. What was stored here is known without asking; what
// others have stored in the same tables can wait as long.
const lookEvery = 10 * time.Second

// parseRegister takes a REGISTER apart; the error says why it cannot be done.
func (r *Router) parseRegister(tx *transaction.ServerTx) (*registrar.Register, *registrar.Error) {
	if !tx.Request.To.URI.IsSIP() {
		return nil, &registrar.Error{Status: 404, Reason: "Only SIP addresses can be registered here"}
	}
	aor, ours := r.Domains.AoR(tx.Request.To.URI)
	switch {
	case !ours || !r.Domains.Has(tx.Request.Target.Host):
		return nil, &registrar.Error{Status: 404, Reason: "Not a domain of this registrar"}
	case aor.User == "":
		return nil, &registrar.Error{Status: 400, Reason: "To names no user"}
	case r.Rooms.IsRoom(aor):
		return nil, &registrar.Error{Status: 403, Reason: "This address is a chat room"}
	}
	reg := &registrar.Register{
		AoR:       aor,
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

// expires reads an Expires header: -1 where there is none, 3600 where it cannot be
// read (RFC 3261 section 10.2.1.1).
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

// flowTo is how a contact will be reached. Over a stream: by the connection that
// it registered on. Over UDP: at the Contact's own address, where the REGISTER
// came straight from the client; at the packet's source where a NAT or a proxy was
// in between, or the Contact names no address.
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

// registered are the headers of the 200: all bindings, the date, and the Path
// where the client understands it (RFC 3327 section 5.3).
func (r *Router) registered(tx *transaction.ServerTx, bindings []registrar.Binding) []sip.Header {
	now := r.Now()
	hs := make([]sip.Header, 0, len(bindings)+4)
	for i := range bindings {
		hs = append(hs, sip.Header{Name: "Contact", Value: bindings[i].ContactValue(now)})
	}
	tags := tx.Request.OptionTags("Supported")
	if slices.Contains(tags, "path") {
		for _, p := range tx.Request.Values("Path") {
			hs = append(hs, sip.Header{Name: "Path", Value: p})
		}
	}
	if slices.Contains(tags, "outbound") && outboundUsed(tx) {
		// RFC 5626 section 6: the device may count on its flows, and must keep them open.
		hs = append(hs, sip.Header{Name: "Require", Value: "outbound"}, sip.Header{Name: "Flow-Timer", Value: flowTimer})
	}
	return append(hs,
		sip.Header{Name: "Date", Value: now.UTC().Format(httpDate)},
		sip.Header{Name: "Server", Value: r.Server})
}

// flowTimer is how often, in seconds, a device should send a keep-alive.
const flowTimer = "120"

// outboundUsed tells whether a REGISTER made a flow of RFC 5626: a contact with
// instance and reg-id, straight from the device, so that the flow is the device's.
func outboundUsed(tx *transaction.ServerTx) bool {
	if len(tx.Request.Values("Via")) != 1 {
		return false
	}
	for _, v := range tx.Request.Values("Contact") {
		if list, err := sip.ParseList(v); err == nil {
			for _, c := range list {
				_, instance := c.Params.Get("+sip.instance")
				_, id := c.Params.Get("reg-id")
				if instance && id {
					return true
				}
			}
		}
	}
	return false
}

// httpDate is the form of a SIP date (RFC 3261 section 20.17).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"

// arrived has whatever waits for a user who has registered delivered.
func (r *Router) arrived(tx *transaction.ServerTx, user sip.AoR) {
	if r.Silo.OtherMailboxes() {
		in := incomingOf(tx, caller{}, user)
		if owner := r.Silo.OtherMailbox(&in); owner != user {
			r.Proxy.ShareMailbox(owner, user)
			r.Queue.Wake(owner)
		}
	}
	r.Engine.Wake(user)
}
