package router

import (
	"context"
	"time"

	"silod/auth"
	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/stack"
)

// foreignTimeout is how long another domain may take to answer: less than the sender
// waits (Timer F of RFC 3261 is 32 s).
const foreignTimeout = 25 * time.Second

// relayed takes a MESSAGE for another domain from those who may send there. Nothing
// of it is stored: the answer is that of the other domain.
func (r *Router) relayed(tx *stack.ServerTx, from caller) (work stack.Work, ok bool) {
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
func (r *Router) toForeign(ctx context.Context, tx *stack.ServerTx, sender caller, left int) {
	ctx, cancel := context.WithTimeout(ctx, foreignTimeout)
	defer cancel()
	next := tx.Request.Target
	if proxy := r.settings.Load().OutboundProxy; proxy != nil {
		next = *proxy
	}
	targets, err := r.Stack.Resolve(ctx, next)
	if err != nil || len(targets) == 0 {
		r.Log.Info("no server of another domain was found", "uri", tx.Request.URI, "error", err)
		tx.Respond(502, "Bad Gateway, no server of "+next.Host+" was found")
		return
	}
	way := make([]hop, len(targets))
	for i := range targets {
		way[i] = hop{&registrar.Binding{Contact: tx.Request.URI}, targets[i]}
	}
	f := r.fork(ctx, tx.Request.Target.AoR(), r.forForeign(&tx.Request, sender), [][]hop{way}, left)
	defer f.abandon()
	for f.open > 0 {
		select {
		case res := <-f.results:
			if ok := f.take(ctx, res); ok != nil {
				r.Stats.Forwarded.Inc()
				tx.Forward(ok)
				return
			}
		case <-ctx.Done():
			tx.Respond(504, "Server Time-out, "+next.Host+" does not answer")
			return
		}
	}
	if f.best == nil {
		tx.Respond(502, "Bad Gateway, "+next.Host+" cannot be reached")
		return
	}
	tx.Forward(f.best)
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
