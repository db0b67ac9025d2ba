package router

import (
	"context"
	"slices"

	"silod/im"
	"silod/proxy"
	"silod/sip"
)

// messageOf returns the end-to-end part of a MESSAGE: without header fields of the hop
// and without credentials for this server.
func messageOf(req *sip.Request, from caller) *im.Message {
	m := &im.Message{
		From:    req.Get("From"),
		To:      req.Get("To"),
		CallID:  req.Get("Call-ID"),
		CSeq:    req.CSeq,
		Headers: make([]sip.Header, 0, len(req.Headers)),
		Body:    req.Body,
	}
	for _, h := range req.Headers {
		switch h.Name {
		case "Via", "Route", "Record-Route", "Path", "Max-Forwards", "From", "To", "Call-ID", "CSeq",
			"Content-Length", "Authorization", "Proxy-Authorization", "Proxy-Require", "Max-Breadth", "Contact", "P-Preferred-Identity":
		case "P-Asserted-Identity":
			// A peer's assertion goes on, unless the sender wants it kept from users (RFC 3325).
			if from.identity && !wantsPrivacy(req) {
				m.Headers = append(m.Headers, h)
			}
		default:
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

// toUser relays a message to the devices of a user and forwards the first 2xx. Without
// one, a 6xx is the user's own response and is forwarded as well. After other failures, and
// if no device answers in time, the message is stored.
func (r *Router) toUser(ctx context.Context, in *incoming, ds []proxy.Device) {
	if len(ds) == 0 {
		r.store(ctx, in, nil, true)
		return
	}
	fork := r.Proxy.Fork(ctx, in.Message, ds, proxy.ForkOptions{Recipient: in.to, MaxForwards: in.hops, StopAt6xx: true})
	out := fork.Wait(ctx, r.settings.Load().AcceptTimeout)
	switch {
	case out.Accepted():
		fork.Abandon()
		r.Stats.Relayed.Inc()
		in.tx.ForwardResponse(out.Response)
	case out.Response != nil && out.Response.Status >= 600:
		fork.Abandon()
		in.tx.ForwardResponse(out.Response)
	case out.Open > 0 && ctx.Err() != nil:
		fork.Abandon()
		in.tx.Unavailable("Server is stopping")
	case out.Open > 0:
		r.store(ctx, in, fork, true)
	case out.Unreached > 0 || slices.ContainsFunc(out.Failures, r.Silo.StoreOn):
		r.store(ctx, in, nil, true)
	default:
		in.tx.ForwardResponse(out.Response)
	}
}

// awaitLateAnswers waits for devices that had not answered when the message was stored in
// owner's mailbox under id, 0 if it was not stored. A 2xx that comes now removes the stored
// message. Then release, which ends the hold on the mailbox, is called.
func (r *Router) awaitLateAnswers(fork *proxy.Fork, owner sip.AoR, id int64, release func()) {
	select {
	case r.watchers <- struct{}{}:
	default:
		fork.Abandon() // the device may receive the message twice, with the same Call-ID
		release()
		return
	}
	r.watching.Go(func() {
		defer func() { <-r.watchers }()
		out := fork.Wait(context.Background(), 0)
		for out.Open > 0 && !out.Accepted() { // a 6xx, which does not end the other attempts now
			out = fork.Wait(context.Background(), 0)
		}
		fork.Abandon()
		if out.Accepted() && id != 0 {
			r.Queue.Removed(owner, id, r.Silo.Remove, release)
			return
		}
		release()
	})
}
