package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"silod/imc"
	"silod/proxy"
	"silod/silo"
	"silod/sip"
	"silod/sip/transaction"
	"silod/watch"
)

// incoming is a MESSAGE on its way through the decisions.
type incoming struct {
	silo.Incoming
	tx   *transaction.ServerTx
	to   sip.AoR // who it is for, whatever mailbox it may go to
	hops int     // that a relayed copy has left
}

// message decides what becomes of a MESSAGE: a room's, relayed, stored, refused.
func (r *Router) message(tx *transaction.ServerTx, from caller) transaction.Work {
	r.Stats.Messages.Inc()
	if work, ok := r.relayed(tx, from); ok {
		return work
	}
	in, ok := r.admit(tx, from)
	if !ok {
		r.Stats.Rejected.Inc()
		return nil
	}
	in.identify(from)
	if r.Watch.Active() {
		r.tell(watch.Received, in.to, in.Message)
	}
	switch {
	case r.Silo.Swallows(&in.Incoming):
		r.Stats.Dropped.Inc()
		tx.Respond(200, "")
	case r.Rooms.IsRoom(in.to):
		return func(ctx context.Context) { r.toRoom(ctx, in, from.sender) }
	case in.hops < 0:
		tx.Respond(483, "")
	case tx.Looped(in.to):
		tx.Respond(482, "")
	default:
		return r.forUser(in)
	}
	return nil
}

// forUser decides whether a message for a user is relayed or stored at once.
func (r *Router) forUser(in *incoming) transaction.Work {
	at, err := r.Silo.SendAt(&in.Incoming)
	in.SendAt = at
	switch {
	case err != nil:
		in.tx.Respond(400, "Bad time of a reminder, "+err.Error())
		return nil
	case !at.IsZero():
		return r.storing(in, false)
	case r.Silo.Instant(in.Message):
		return r.relaying(in, r.Proxy.Devices(in.to))
	case r.Silo.Every():
		in.SafetyCopy = true
		return r.storing(in, !r.Location.Online(in.to))
	}
	// The devices are read before the queue: a user who registers in between is busy until
	// its queue has been looked at, see register.
	ds := r.Proxy.Devices(in.to)
	if r.Queue.Busy(in.to) {
		return func(ctx context.Context) { r.behindQueue(ctx, in) }
	}
	return r.relaying(in, ds)
}

func (r *Router) storing(in *incoming, away bool) transaction.Work {
	return func(ctx context.Context) { r.store(ctx, in, nil, away) }
}

func (r *Router) relaying(in *incoming, ds []proxy.Device) transaction.Work {
	return func(ctx context.Context) { r.toUser(ctx, in, ds) }
}

// behindQueue waits a moment for the messages that wait for the user, which a new one must
// not overtake; then it relays the message, or has it join them.
func (r *Router) behindQueue(ctx context.Context, in *incoming) {
	if r.Queue.WaitEmpty(ctx, in.to, queuePatience) {
		ds := r.Proxy.Devices(in.to)
		if !r.Queue.Busy(in.to) {
			r.toUser(ctx, in, ds)
			return
		}
	}
	r.store(ctx, in, nil, false)
}

// queuePatience is how long a message waits for the queue in front of it to empty
// before it joins it.
const queuePatience = 50 * time.Millisecond

// admit refuses what can be refused before anything is done.
func (r *Router) admit(tx *transaction.ServerTx, from caller) (in *incoming, ok bool) {
	hops, ok := tx.Request.MaxForwards()
	if !ok {
		tx.Respond(400, "Bad Max-Forwards header")
		return nil, false
	}
	to, ours := r.Domains.AoR(tx.Request.Target)
	switch {
	case !ours || r.foreignRoute(tx):
		tx.Respond(403, "Forbidden, this server does not relay to other domains")
		return nil, false
	case to.User == "":
		tx.Respond(404, "Not Found, the Request-URI names no user")
		return nil, false
	case len(tx.Request.Body) > r.MaxBody:
		tx.Respond(413, fmt.Sprintf("Message body is larger than %d bytes", r.MaxBody))
		return nil, false
	case !tx.Request.From.URI.IsSIP():
		tx.Respond(403, "From is no SIP address")
		return nil, false
	}
	in = &incoming{Incoming: incomingOf(tx, from, to), tx: tx, to: to, hops: hops - 1}
	// A room, and who sends without a name, is told nothing.
	if sender, _ := r.Domains.AoR(tx.Request.From.URI); sender.User != "" && !r.Rooms.IsRoom(sender) {
		in.Sender = sender
	}
	return in, true
}

// incomingOf is what the silo wants to know of a request for a mailbox.
func incomingOf(tx *transaction.ServerTx, from caller, owner sip.AoR) silo.Incoming {
	return silo.Incoming{
		Owner: owner, Message: messageOf(&tx.Request, from), Method: tx.Request.Method,
		URI: tx.Request.URI, Contact: tx.Request.Get("Contact"), Source: tx.Flow.Remote,
	}
}

// foreignRoute tells whether a Route names somebody else than us. Phones put our
// own address there.
func (r *Router) foreignRoute(tx *transaction.ServerTx) bool {
	for _, v := range tx.Request.Values("Route") {
		if a, err := sip.ParseNameAddr(v); err != nil || !r.Domains.Has(a.URI.Host) {
			return true
		}
	}
	return false
}

func (r *Router) toRoom(ctx context.Context, in *incoming, sender sip.AoR) {
	reply := r.Rooms.Handle(ctx, imc.Request{Sender: sender, Room: in.to, Message: *in.Message})
	if reply.Status >= 300 {
		r.Log.DebugContext(ctx, "room refuses", "room", in.to, "call_id", in.Message.CallID, "code", reply.Code, "reason", reply.Reason)
	}
	if reply.Status == 503 {
		in.tx.Unavailable(reply.Reason, r.refusal(&reply)...)
		return
	}
	in.tx.Respond(reply.Status, reply.Reason, r.refusal(&reply)...)
}

// refusal is what the answer of a room has besides its reason: when to try again, and
// for programs the code that imc's function returns in a routing script (RFC 3261
// section 20.43: a warning of no other kind).
func (r *Router) refusal(reply *imc.Reply) []sip.Header {
	if reply.Status < 300 {
		return nil
	}
	hs := []sip.Header{{Name: "Warning", Value: fmt.Sprintf(`399 %s "imc_manager %d"`, r.Domains.Default(), reply.Code)}}
	if reply.RetryAfter > 0 {
		seconds := int(math.Ceil(reply.RetryAfter.Seconds()))
		hs = append(hs, sip.Header{Name: "Retry-After", Value: strconv.Itoa(seconds)})
	}
	return hs
}

// store keeps the message and answers 202, or says why it cannot be kept. pending
// are calls that may still bring an answer from a device; away says that the user
// could not be reached.
func (r *Router) store(ctx context.Context, in *incoming, pending *proxy.Fork, away bool) {
	if r.Silo.Ephemeral(in.Message) {
		if pending != nil {
			pending.Abandon()
		}
		r.Stats.Dropped.Inc()
		in.tx.Respond(200, "OK, not delivered and not stored")
		return
	}
	in.Owner = r.Silo.Mailbox(&in.Incoming)
	var release func()
	if pending != nil {
		release = r.Queue.Hold(in.Owner)
	}
	id, err := r.Silo.Put(ctx, &in.Incoming)
	if err != nil {
		r.notStored(in, err)
	} else {
		r.Stats.Stored.Inc()
		in.tx.Respond(202, "")
	}
	if release != nil {
		r.awaitLateAnswers(pending, in.Owner, id, release)
	}
	if err == nil {
		r.Silo.NotifySender(ctx, &in.Incoming, id, away)
	}
}

// notStored tells the sender why nothing was kept.
func (r *Router) notStored(in *incoming, err error) {
	switch {
	case errors.Is(err, silo.ErrQuota):
		in.tx.Respond(480, "Temporarily Unavailable, the recipient's mailbox is full")
	case errors.Is(err, silo.ErrSenderQuota):
		in.tx.Respond(480, "Temporarily Unavailable, the recipient's mailbox has enough of your messages")
	case errors.Is(err, silo.ErrExpired):
		in.tx.Respond(480, "Temporarily Unavailable, and the message has expired")
	case errors.Is(err, silo.ErrEmpty):
		in.tx.Respond(480, "Temporarily Unavailable, and a message without a body is not stored")
	case errors.Is(err, silo.ErrTooFar):
		in.tx.Respond(400, "Bad time of a reminder, it is too far ahead")
	case errors.Is(err, silo.ErrInvalid):
		r.Log.Info("message cannot be stored", "call_id", in.Message.CallID, "error", err)
		in.tx.Respond(400, "This message cannot be stored, "+invalidReason(err))
	default:
		r.Log.Error("message not stored", "call_id", in.Message.CallID, "error", err)
		in.tx.Unavailable("Message cannot be stored now")
	}
}

// invalidReason is the part of an error that is meant for the sender: what stands
// before the sentinel's own words.
func invalidReason(err error) string {
	s, _, _ := strings.Cut(err.Error(), ": "+silo.ErrInvalid.Error())
	if i := strings.LastIndex(s, ": "); i >= 0 {
		s = s[i+2:]
	}
	return s
}
