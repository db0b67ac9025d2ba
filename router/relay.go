package router

import (
	"context"
	"time"

	"silod/address"
	"silod/delivery"
	"silod/registrar"
	"silod/stack"
)

// fork is one MESSAGE on its way to all devices of a user (RFC 3261 section 16.6).
type fork struct {
	results chan stack.Result
	calls   []*stack.Call
	open    int            // calls without a result
	best    *stack.Message // the best failure so far (section 16.7)
	stored  bool           // some device failed in a way after which the message is stored
}

// fork sends m to every binding that takes messages; nil where there is none.
func (r *Router) fork(ctx context.Context, m *delivery.Message, bindings []registrar.Binding, hops int) *fork {
	f := &fork{results: make(chan stack.Result, len(bindings))}
	tried := false
	for i := range bindings {
		b := &bindings[i]
		if !b.Takes("MESSAGE") {
			continue
		}
		tried = true
		flow, err := r.flow(ctx, b)
		if err == nil {
			var call *stack.Call
			if call, err = r.Stack.Send(requestFor(m, b, hops), flow, f.results); err == nil {
				f.calls = append(f.calls, call)
				f.open++
				continue
			}
		}
		r.Log.Debug("device not reached", "contact", b.Contact, "error", err)
		f.stored = true
	}
	if !tried {
		return nil
	}
	return f
}

// flow is where a binding is reached: as registered, or, for one that was made by
// an administrator, where its URI points.
func (r *Router) flow(ctx context.Context, b *registrar.Binding) (stack.Flow, error) {
	if b.Flow != "" {
		return stack.ParseFlow(b.Flow)
	}
	u, err := address.ParseURI(b.Contact)
	if err != nil {
		return stack.Flow{}, err
	}
	return r.Stack.Reach(ctx, u)
}

// take counts one result in. It gives the 2xx, where it is one.
func (f *fork) take(res stack.Result, storeOn func(int) bool) *stack.Message {
	f.open--
	switch {
	case res.Err != nil:
		f.stored = true
	case res.Response.Status < 300:
		return res.Response
	default:
		if storeOn(res.Response.Status) {
			f.stored = true
		}
		if better(res.Response, f.best) {
			f.best = res.Response
		}
	}
	return nil
}

// better prefers a 6xx, else the lowest class (RFC 3261 section 16.7, step 6).
func better(a, b *stack.Message) bool {
	switch {
	case b == nil:
		return true
	case b.Status >= 600:
		return false
	case a.Status >= 600:
		return true
	}
	return a.Status/100 < b.Status/100
}

// abandon ends what is still open.
func (f *fork) abandon() {
	for _, c := range f.calls {
		c.Abandon()
	}
}

// toUser relays to the user's devices. The first 2xx goes back. Without one, a 6xx
// is the user's own answer and goes back as well; after other failures, and when
// nobody has answered in time, the message is stored.
func (r *Router) toUser(ctx context.Context, in *incoming) {
	f := r.fork(ctx, in.msg, r.Location.Bindings(in.to), in.hops)
	if f == nil {
		r.store(ctx, in, nil)
		return
	}
	timer := time.NewTimer(r.AcceptTimeout)
	defer timer.Stop()
	for f.open > 0 {
		select {
		case res := <-f.results:
			if ok := f.take(res, r.StoreOn); ok != nil {
				f.abandon()
				r.Stats.Relayed.Inc()
				in.req.Forward(ok)
				return
			}
			if f.best != nil && f.best.Status >= 600 {
				f.abandon()
				in.req.Forward(f.best)
				return
			}
		case <-timer.C:
			r.store(ctx, in, f)
			return
		case <-ctx.Done():
			f.abandon()
			in.req.Unavailable("Server is stopping")
			return
		}
	}
	if f.stored {
		r.store(ctx, in, nil)
		return
	}
	in.req.Forward(f.best)
}

// watch waits for devices that were slower than the sender could wait for: a 2xx
// that comes now removes the stored message, before the engine would send it
// again. id is 0 where nothing was stored.
func (r *Router) watch(f *fork, id int64, release func()) {
	select {
	case r.watchers <- struct{}{}:
	default:
		f.abandon() // too many: the device gets a repeat, with the same Call-ID
		release()
		return
	}
	r.watching.Go(func() {
		defer func() { <-r.watchers }()
		defer release()
		for f.open > 0 {
			if f.take(<-f.results, r.StoreOn) != nil {
				f.abandon()
				if id != 0 {
					r.Silo.Remove(id)
				}
				return
			}
		}
	})
}
