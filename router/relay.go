package router

import (
	"context"
	"time"

	"silod/auth"
	"silod/im"
	"silod/proxy"
	"silod/silo"
)

// relayToDevices sends a message to the devices of a user and answers it.
func (r *Router) relayToDevices(ctx context.Context, in *incoming, ds []proxy.Device) {
	if m := in.silo.Message; in.caller.standing == silo.Stranger {
		r.opt.Passed.Add(m.From, m.CallID, m.Body)
	}
	fork := r.opt.Proxy.Fork(ctx, in.silo.Message, ds, proxy.ForkOptions{
		Recipient: in.parties.to, MaxForwards: in.facts.maxForwards - 1, Breadth: in.facts.maxBreadth,
		StopAt6xx: true, Secure: in.facts.secure, Directory: r.opt.Proxy, Seen: in.seen,
	})
	kept := false
	defer func() {
		if !kept { // also after a panic
			fork.Abandon()
		}
	}()
	out := fork.Wait(ctx, r.settings.Load().AcceptTimeout)
	d := decideAfterRelay(in.facts, in.class, &out, ctx.Err() != nil, r.opt.Silo.StoreOn)
	in.silo.Refusals = out.Refusals()
	if d.action == storeLate {
		kept = true
		r.store(ctx, in, fork, d.away)
		return
	}
	fork.Abandon() // what follows may wait
	switch d.action {
	case forward:
		if out.Accepted() {
			r.Stats.Relayed.Inc()
		}
		in.tx.ForwardResponse(out.Response)
	case unavailable:
		in.tx.Unavailable("Server is stopping")
	default:
		r.finish(ctx, in, d, nil)
	}
}

// domainTimeout is how long the servers of another domain may take to answer: less than
// the sender waits (Timer F of RFC 3261 is 32 s).
const domainTimeout = 25 * time.Second

// relayToDomain sends a message to the servers of its domain, one after the other while
// they cannot be reached, and forwards the response.
func (r *Router) relayToDomain(ctx context.Context, in *incoming) {
	ctx, cancel := context.WithTimeout(ctx, domainTimeout)
	defer cancel()
	tx := in.tx
	device := r.opt.Proxy.Elsewhere(tx.Request.TargetValue(), nil)
	host := tx.Request.Target.Host
	if next := device.Routes[0].Next; next != nil {
		host = next.Host
	}
	opt := proxy.ForkOptions{Recipient: in.parties.to, MaxForwards: in.facts.maxForwards - 1, Breadth: in.facts.maxBreadth}
	fork := r.opt.Proxy.Fork(ctx, r.messageForDomain(in), []proxy.Device{device}, opt)
	defer fork.Abandon()
	out := fork.Wait(ctx, 0)
	switch {
	case out.Accepted():
		r.Stats.Forwarded.Inc()
		tx.ForwardResponse(out.Response)
	case out.Open > 0: // and ctx has ended
		tx.Respond(504, "Server Time-out, "+host+" does not answer")
	case out.Response != nil:
		tx.ForwardResponse(out.Response)
	case out.Insecure:
		tx.Respond(480, "Temporarily Unavailable, no server of "+host+" is reached over TLS")
	case out.Unresolved != nil:
		r.opt.Log.Info("domain not resolved", "uri", tx.Request.URI, "error", out.Unresolved)
		tx.Respond(502, "Bad Gateway, no server of "+host+" was found")
	default:
		tx.Respond(502, "Bad Gateway, "+host+" cannot be reached")
	}
}

// messageForDomain returns a message with the credentials for other realms than ours.
func (r *Router) messageForDomain(in *incoming) *im.Message {
	req := &in.tx.Request
	m := messageOf(req, in.caller)
	ours := r.opt.Guard.RealmOf(in.parties.from.Domain)
	for _, h := range req.Headers {
		if h.Name != "Authorization" && h.Name != "Proxy-Authorization" {
			continue
		}
		if realm := auth.RealmOf(h.Value); realm != "" && realm != ours && !r.opt.Domains.Has(realm) {
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}
