package router

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"silod/im"
	"silod/imc"
	"silod/proxy"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
)

// An incoming is a MESSAGE with what decisions about it depend on.
type incoming struct {
	tx      *transaction.ServerTx
	caller  caller
	parties parties
	facts   facts
	silo    silo.Incoming // not set for a message to another domain
	seen    uint64        // see proxy.ForkOptions
	class   silo.Class    // set for a message to a user
}

// message handles a MESSAGE: it gathers the facts in the order in which package silo and the
// functions of decide.go need them, and carries out the decision.
func (r *Router) message(tx *transaction.ServerTx, p parties, from caller) transaction.Work {
	r.Stats.Messages.Inc()
	f := r.factsOf(tx, from.mayRelay)
	if forDomain(p, f) {
		f.looped = tx.Looped(p.to, false)
		return r.carryOut(&incoming{tx: tx, caller: from, parties: p, facts: f}, decideForDomain(f), nil)
	}
	if d := decideAdmission(p, f); d.action != admit {
		r.Stats.Rejected.Inc()
		tx.Respond(d.status, d.reason)
		return nil
	}
	p.fromRoom, p.toRoom = r.opt.Rooms.IsRoom(p.from), r.opt.Rooms.IsRoom(p.to)
	f.looped, f.redirected = tx.Looped(p.to, true), p.toRoom && tx.Redirected()
	in := &incoming{tx: tx, caller: from, parties: p, facts: f, silo: incomingOf(tx, from, p.to)}
	in.facts.looped = f.looped || !p.toRoom && r.opt.Proxy.UnderWay(p.to, in.silo.Message)
	in.silo.Caller = r.senderOf(p, from)
	if from.sender.Reachable() && !p.fromRoom { // rooms, and gateways without an address, get no notices
		in.silo.Sender = from.sender
	}
	if r.opt.Watch.Active() {
		r.publishReceived(p.to, in.silo.Message)
	}
	in.facts.discard = r.opt.Silo.Discards(&in.silo)
	if in.facts.looped || in.facts.discard || p.toRoom {
		return r.carryOut(in, decide(p, in.facts, silo.Class{}, false, 0), nil)
	}
	in.class = r.opt.Silo.Classify(&in.silo)
	in.silo.SendAt = in.class.SendAt
	d, ds := r.decideNow(in)
	return r.carryOut(in, d, ds)
}

// factsOf returns the facts of a MESSAGE, except discard, looped and redirected, which a
// message that is not admitted does not need.
func (r *Router) factsOf(tx *transaction.ServerTx, mayRelay bool) facts {
	f := facts{
		mayRelay:        mayRelay,
		routesElsewhere: r.routesElsewhere(&tx.Request),
		size:            len(tx.Request.Body),
		maxSize:         r.opt.MaxBody,
		secure:          tx.Request.Target.Scheme == "sips",
	}
	var ok bool
	if f.maxForwards, ok = tx.Request.MaxForwards(); !ok {
		f.maxForwards = -1
	}
	if f.maxBreadth, ok = tx.Request.MaxBreadth(); !ok {
		f.maxBreadth = -1
	}
	return f
}

// routesElsewhere reports whether a Route field names another server. Phones put our own
// address there, also more than once, and without lr.
func (r *Router) routesElsewhere(req *sip.Request) bool {
	for _, v := range req.Values("Route") {
		if a, err := sip.ParseNameAddr(v); err != nil || !r.isOurs(a.URI) {
			return true
		}
	}
	return false
}

// isOurs reports whether a URI names this server: one of its domains, with any port because a
// NAT may have another one than the listener, or one of its addresses.
func (r *Router) isOurs(u sip.URI) bool {
	return r.opt.Domains.Has(u.Host) || r.opt.Own.IsNextHop(u)
}

// incomingOf returns a request as the silo reads it, without a sender: a MESSAGE for owner, or
// a REGISTER of owner, from which a template may name another mailbox.
func incomingOf(tx *transaction.ServerTx, from caller, owner sip.AoR) silo.Incoming {
	return silo.Incoming{
		Owner: owner, Message: messageOf(&tx.Request, from), Method: tx.Request.Method,
		URI: tx.Request.URI, Contact: tx.Request.Get("Contact"), Source: tx.Flow.Remote, Standing: from.standing,
	}
}

// senderOf returns the sender of a message as rules for senders know it.
func (r *Router) senderOf(p parties, from caller) sip.Sender {
	s := sip.Sender{AoR: from.sender, Authenticated: from.known, Local: p.fromOurs}
	switch {
	case s.AoR.IsZero():
		s.AoR = p.from
	case s.AoR != p.from:
		s.Local = r.opt.Domains.Has(s.AoR.Domain)
	}
	return s
}

// messageOf returns the end-to-end part of a MESSAGE: without header fields of the hop
// and without credentials.
func messageOf(req *sip.Request, from caller) *im.Message {
	const left = 5 // mandatory fields that are left out: Via, From, To, Call-ID and CSeq
	m := &im.Message{
		From:    req.FromValue(),
		To:      req.ToValue(),
		CallID:  req.Get("Call-ID"),
		CSeq:    req.CSeq,
		Headers: make([]sip.Header, 0, max(0, len(req.Headers)-left)),
		Body:    req.Body,
	}
	mayAssert := from.mayAssert && req.Has("P-Asserted-Identity") && !wantsPrivacy(req)
	for _, h := range req.Headers {
		switch h.Name {
		case "Via", "Route", "Record-Route", "Path", "Max-Forwards", "From", "To", "Call-ID", "CSeq",
			"Content-Length", "Authorization", "Proxy-Authorization", "Proxy-Require", "Max-Breadth", "Contact", "P-Preferred-Identity":
		case "P-Asserted-Identity":
			// A peer's assertion is forwarded unless the sender asks for privacy (RFC 3325).
			if mayAssert {
				m.Headers = append(m.Headers, h)
			}
		default:
			m.Headers = append(m.Headers, h)
		}
	}
	if from.standing == silo.Stranger {
		silo.MarkStranger(m)
	}
	return m
}

// decideNow decides about a message for a user, and returns the devices that the decision
// is based on. They are read before the queue: if the user registers in between, the queue
// is busy until it has been delivered, see register.
func (r *Router) decideNow(in *incoming) (decision, []proxy.Device) {
	in.seen = r.opt.Proxy.Changes(in.parties.to)
	ds := r.opt.Proxy.Devices(in.parties.to)
	if in.facts.secure {
		ds = proxy.OverTLS(ds)
	}
	busy := r.opt.Queue.Busy(in.parties.to)
	return decide(in.parties, in.facts, in.class, busy, len(ds)), ds
}

// decideLater waits for the queue of the recipient to become empty and decides again, with
// the devices and the queue as they are then. If other messages still wait, the message is
// stored behind them.
func (r *Router) decideLater(ctx context.Context, in *incoming) (decision, []proxy.Device) {
	if r.opt.Queue.WaitEmpty(ctx, in.parties.to, queuePatience) {
		if d, ds := r.decideNow(in); d.action != waitForQueue {
			return d, ds
		}
	}
	return decision{action: store, away: len(r.opt.Proxy.Devices(in.parties.to)) == 0}, nil
}

// queuePatience is how long a message waits for the queue of its recipient to become empty.
const queuePatience = 50 * time.Millisecond

// carryOut carries a decision out, or returns the Work to do so if that may wait. ds are the
// devices to which relay sends the message.
func (r *Router) carryOut(in *incoming, d decision, ds []proxy.Device) transaction.Work {
	switch d.action {
	case reject:
		in.tx.Respond(d.status, d.reason)
	case drop:
		r.Stats.Dropped.Inc()
		in.tx.Respond(200, d.reason)
	case sendToDomain:
		return func(ctx context.Context) { r.relayToDomain(ctx, in) }
	case sendToRoom:
		return func(ctx context.Context) { r.sendToRoom(ctx, in) }
	case relay:
		return func(ctx context.Context) { r.relayToDevices(ctx, in, ds) }
	case waitForQueue:
		return func(ctx context.Context) {
			d, ds := r.decideLater(ctx, in)
			r.finish(ctx, in, d, ds)
		}
	case storeCopies:
		in.silo.SafetyCopy = true
		away := !r.opt.Location.Online(in.parties.to)
		return func(ctx context.Context) { r.store(ctx, in, nil, away) }
	default:
		return func(ctx context.Context) { r.store(ctx, in, nil, d.away) }
	}
	return nil
}

// finish carries a decision out. It may wait, and is called by Work only.
func (r *Router) finish(ctx context.Context, in *incoming, d decision, ds []proxy.Device) {
	if work := r.carryOut(in, d, ds); work != nil {
		work(ctx)
	}
}

// sendToRoom passes a message to its room and sends the room's answer.
func (r *Router) sendToRoom(ctx context.Context, in *incoming) {
	sender := in.silo.Caller
	sender.AoR = in.caller.sender // zero where From is not believed
	vouched := in.caller.known && in.caller.trusted
	reply := r.opt.Rooms.Handle(ctx, imc.Request{
		Sender: sender, Account: in.caller.account, Room: in.parties.to, Message: *in.silo.Message, MayRelay: in.caller.mayRelay,
		Unproven: !sender.Local && !vouched && !r.opt.Guard.policy.Load().admitsToRooms(r.opt.Guard.digest),
	})
	if reply.Status >= 300 {
		r.opt.Log.DebugContext(ctx, "message refused by room",
			"room", in.parties.to, "call_id", in.silo.Message.CallID, "code", reply.Code, "reason", reply.Reason)
	}
	if reply.Status == 503 {
		in.tx.Unavailable(reply.Reason, r.refusalHeaders(&reply)...)
		return
	}
	in.tx.Respond(reply.Status, reply.Reason, r.refusalHeaders(&reply)...)
}

// refusalHeaders returns the header fields of a refusal by a room: Retry-After, and a
// Warning (RFC 3261 section 20.43) for programs, with the code that imc's function returns in
// a routing script.
func (r *Router) refusalHeaders(reply *imc.Reply) []sip.Header {
	if reply.Status < 300 {
		return nil
	}
	hs := []sip.Header{{Name: "Warning", Value: fmt.Sprintf(`399 %s "imc_manager %d"`, r.opt.Domains.Default(), reply.Code)}}
	if reply.RetryAfter > 0 {
		seconds := int(math.Ceil(reply.RetryAfter.Seconds()))
		hs = append(hs, sip.Header{Name: "Retry-After", Value: strconv.Itoa(seconds)})
	}
	return hs
}

// store stores a message and answers it. pending, if not nil, has devices that may still
// respond. If away, the sender is notified that the recipient cannot be reached.
func (r *Router) store(ctx context.Context, in *incoming, pending *proxy.Fork, away bool) {
	in.silo.Owner = r.opt.Silo.Mailbox(&in.silo)
	if o := in.silo.Owner; o != in.parties.to && in.tx.Looped(o, r.opt.Domains.Has(o.Domain)) {
		if pending != nil {
			pending.Abandon()
		}
		in.tx.Respond(482, "") // it was delivered from the same mailbox
		return
	}
	if id, err := r.put(ctx, in, pending); err == nil {
		r.opt.Silo.NotifySender(ctx, &in.silo, id, away)
	}
}

// put stores a message in the mailbox of in.silo.Owner and answers it. It returns the id of
// the stored message. If pending is not nil, the mailbox is held, even after a panic, until
// its devices have responded.
func (r *Router) put(ctx context.Context, in *incoming, pending *proxy.Fork) (id int64, err error) {
	if pending != nil {
		release := r.opt.Queue.Hold(in.silo.Owner)
		defer func() { r.awaitLateAnswers(pending, in, id, release) }()
	}
	id, err = r.opt.Silo.Put(ctx, &in.silo)
	if err != nil {
		r.rejectUnstored(in, err)
		return 0, err
	}
	if !in.silo.Feigned {
		r.Stats.Stored.Inc()
	}
	in.tx.Respond(202, "")
	return id, nil
}
