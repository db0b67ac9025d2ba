package router

import (
	"context"
	"time"

	"silod/auth"
	"silod/im"
	"silod/proxy"
	"silod/sip"
	"silod/sip/transaction"
)

// foreignTimeout is how long another domain may take to answer: less than the sender
// waits (Timer F of RFC 3261 is 32 s).
const foreignTimeout = 25 * time.Second

// relayed takes a MESSAGE for another domain from those who may send there. Nothing
// of it is stored: the answer is that of the other domain.
func (r *Router) relayed(tx *transaction.ServerTx, from caller) (work transaction.Work, ok bool) {
	if _, ours := r.Domains.AoR(tx.Request.Target); ours || !from.relay || r.foreignRoute(tx) {
		return nil, false // and so it is refused
	}
	left, ok := tx.Request.MaxForwards()
	switch {
	case !ok:
		tx.Respond(400, "Bad Max-Forwards header")
	case len(tx.Request.Body) > r.MaxBody:
		tx.Respond(413, "")
	case left == 0:
		tx.Respond(483, "")
	case tx.Looped(tx.Request.Target.AoR()):
		tx.Respond(482, "")
	default:
		return func(ctx context.Context) { r.toForeign(ctx, tx, from, left-1) }, true
	}
	return nil, true
}

// toForeign sends a MESSAGE on to the servers of its domain, one after the other
// while they cannot be reached, and its answer back.
func (r *Router) toForeign(ctx context.Context, tx *transaction.ServerTx, sender caller, left int) {
	ctx, cancel := context.WithTimeout(ctx, foreignTimeout)
	defer cancel()
	device := r.Proxy.Elsewhere(tx.Request.URI, nil)
	host := tx.Request.Target.Host
	if next := device.Routes[0].Next; next != nil {
		host = next.Host
	}
	opt := proxy.ForkOptions{Recipient: tx.Request.Target.AoR(), MaxForwards: left}
	fork := r.Proxy.Fork(ctx, r.forForeign(&tx.Request, sender), []proxy.Device{device}, opt)
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
	case out.Unresolved != nil:
		r.Log.Info("no server of another domain was found", "uri", tx.Request.URI, "error", out.Unresolved)
		tx.Respond(502, "Bad Gateway, no server of "+host+" was found")
	default:
		tx.Respond(502, "Bad Gateway, "+host+" cannot be reached")
	}
}

// forForeign is a MESSAGE with the credentials that are another's than ours.
func (r *Router) forForeign(req *sip.Request, sender caller) *im.Message {
	m := messageOf(req, sender)
	from, _ := r.Domains.AoR(req.From.URI)
	ours := r.Guard.RealmOf(from.Domain)
	for _, h := range req.Headers {
		if h.Name != "Authorization" && h.Name != "Proxy-Authorization" {
			continue
		}
		if realm := auth.RealmOf(h.Value); realm != "" && realm != ours && !r.Domains.Has(realm) {
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

// identify puts what is known of the sender in the place of what From says. Who is
// not known is told nothing: From may be a lie, and its owner would get the notice.
func (in *incoming) identify(c caller) {
	if !in.Sender.IsZero() {
		in.Sender = c.sender
	}
}
