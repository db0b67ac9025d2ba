package router

import (
	"context"
	"time"

	"silod/auth"
	"silod/im"
	"silod/registrar"
	"silod/stack"
)

// foreignTimeout is how long another domain may take to answer: less than the sender
// waits (Timer F of RFC 3261 is 32 s).
const foreignTimeout = 25 * time.Second

// relayed takes a MESSAGE for another domain from those who may send there. Nothing
// of it is stored: the answer is that of the other domain.
func (r *Router) relayed(ctx context.Context, req *stack.Request, from caller) bool {
	if _, ours := r.Domains.AoR(req.Target); ours || !from.relay || r.foreignRoute(req) {
		return false // and so it is refused
	}
	left, ok := req.MaxForwards()
	switch {
	case !ok:
		req.Respond(400, "Bad Max-Forwards header")
	case len(req.Body) > r.MaxBody:
		req.Respond(413, "")
	case left == 0:
		req.Respond(483, "")
	case req.Looped(req.Target.AoR().String()):
		req.Respond(482, "")
	default:
		r.toForeign(ctx, req, left-1)
	}
	return true
}

// toForeign sends a MESSAGE on to the servers of its domain, one after the other
// while they cannot be reached, and its answer back.
func (r *Router) toForeign(ctx context.Context, req *stack.Request, left int) {
	req.Detach()
	ctx, cancel := context.WithTimeout(ctx, foreignTimeout)
	defer cancel()
	next := req.Target
	if proxy := r.settings.Load().OutboundProxy; proxy != nil {
		next = *proxy
	}
	targets, err := r.Stack.Resolve(ctx, next)
	if err != nil || len(targets) == 0 {
		r.Log.Info("no server of another domain was found", "uri", req.URI, "error", err)
		req.Respond(502, "Bad Gateway, no server of "+next.Host+" was found")
		return
	}
	way := make([]hop, len(targets))
	for i := range targets {
		way[i] = hop{&registrar.Binding{Contact: req.URI}, targets[i]}
	}
	f := r.fork(ctx, req.Target.AoR(), r.forForeign(req), [][]hop{way}, left)
	defer f.abandon()
	for f.open > 0 {
		select {
		case res := <-f.results:
			if ok := f.take(ctx, res); ok != nil {
				r.Stats.Forwarded.Inc()
				req.Forward(ok)
				return
			}
		case <-ctx.Done():
			req.Respond(504, "Server Time-out, "+next.Host+" does not answer")
			return
		}
	}
	if f.best == nil {
		req.Respond(502, "Bad Gateway, "+next.Host+" cannot be reached")
		return
	}
	req.Forward(f.best)
}

// forForeign is a MESSAGE with the credentials that are another's than ours.
func (r *Router) forForeign(req *stack.Request) *im.Message {
	m := messageOf(req)
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
