package router

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"silod/address"
	"silod/delivery"
	"silod/imc"
	"silod/silo"
	"silod/stack"
)

// incoming is a MESSAGE on its way through the decisions.
type incoming struct {
	req  *stack.Request
	to   address.AoR
	hops int // that a relayed copy has left
	msg  *delivery.Message
}

// message decides what becomes of a MESSAGE: a room's, relayed, stored, refused.
func (r *Router) message(ctx context.Context, req *stack.Request) {
	r.Stats.Messages.Inc()
	in, ok := r.admit(req)
	if !ok {
		r.Stats.Rejected.Inc()
		return
	}
	switch {
	case r.Rooms.IsRoom(in.to):
		r.toRoom(ctx, in)
	case in.hops < 0:
		req.Respond(483, "")
	case req.Looped():
		req.Respond(482, "")
	case !r.ephemeral(in.msg) && !r.Queue.Clear(ctx, in.to, queuePatience):
		r.store(ctx, in, nil) // behind what waits there
	default:
		r.toUser(ctx, in)
	}
}

// queuePatience is how long a message waits for the queue in front of it to empty
// before it joins it.
const queuePatience = 50 * time.Millisecond

// admit refuses what can be refused before anything is done.
func (r *Router) admit(req *stack.Request) (in *incoming, ok bool) {
	hops, ok := req.MaxForwards()
	if !ok {
		req.Respond(400, "Bad Max-Forwards header")
		return nil, false
	}
	to, ours := r.Domains.AoR(req.Target)
	switch {
	case !ours || r.foreignRoute(req):
		req.Respond(403, "Forbidden, this server does not relay to other domains")
		return nil, false
	case to.User == "":
		req.Respond(404, "Not Found, the Request-URI names no user")
		return nil, false
	case len(req.Body) > r.MaxBody:
		req.Respond(413, fmt.Sprintf("Message body is larger than %d bytes", r.MaxBody))
		return nil, false
	case !req.From.URI.IsSIP():
		req.Respond(403, "From is no SIP address")
		return nil, false
	}
	return &incoming{req: req, to: to, hops: hops - 1, msg: messageOf(req)}, true
}

// foreignRoute tells whether a Route names somebody else than us. Phones put our
// own address there.
func (r *Router) foreignRoute(req *stack.Request) bool {
	for _, v := range req.Values("Route") {
		if a, err := address.ParseNameAddr(v); err != nil || !r.Domains.Has(a.URI.Host) {
			return true
		}
	}
	return false
}

// ephemeral tells what is of use now or never, such as "is typing".
func (r *Router) ephemeral(m *delivery.Message) bool {
	t, _, _ := strings.Cut(m.Header("Content-Type"), ";")
	return r.Ephemeral(strings.ToLower(strings.TrimSpace(t)))
}

func (r *Router) toRoom(ctx context.Context, in *incoming) {
	from, _ := r.Domains.AoR(in.req.From.URI)
	reply := r.Rooms.Handle(ctx, imc.Request{Sender: from, Room: in.to, Message: *in.msg})
	if reply.Status == 503 {
		in.req.Unavailable(reply.Reason)
		return
	}
	in.req.Respond(reply.Status, reply.Reason)
}

// store keeps the message and answers 202, or says why it cannot be kept. pending
// are calls that may still bring an answer from a device.
func (r *Router) store(ctx context.Context, in *incoming, pending *fork) {
	if r.ephemeral(in.msg) {
		r.Stats.Dropped.Inc()
		in.req.Respond(200, "OK, not delivered and not stored")
		return
	}
	var release func()
	if pending != nil && pending.open > 0 {
		release = r.Queue.Hold(in.to)
	}
	id, err := r.Silo.Put(ctx, in.to, in.msg)
	if err != nil {
		r.notStored(in, err)
	} else {
		r.Stats.Stored.Inc()
		in.req.Respond(202, "")
	}
	if release != nil {
		r.watch(pending, id, release)
	}
}

// notStored tells the sender why nothing was kept.
func (r *Router) notStored(in *incoming, err error) {
	switch {
	case errors.Is(err, silo.ErrQuota):
		in.req.Respond(480, "Temporarily Unavailable, the recipient's mailbox is full")
	case errors.Is(err, silo.ErrExpired):
		in.req.Respond(480, "Temporarily Unavailable, and the message has expired")
	case errors.Is(err, silo.ErrEmpty):
		in.req.Respond(480, "Temporarily Unavailable, and a message without a body is not stored")
	case errors.Is(err, silo.ErrInvalid):
		r.Log.Info("message cannot be stored", "call_id", in.msg.CallID, "error", err)
		in.req.Respond(400, "This message cannot be stored, "+invalidReason(err))
	default:
		r.Log.Error("message not stored", "call_id", in.msg.CallID, "error", err)
		in.req.Unavailable("Message cannot be stored now")
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
