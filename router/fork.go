package router

import (
	"context"
	"errors"
	"slices"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/stack"
)

// fork is one MESSAGE on its way to all devices of a user (RFC 3261 section 16.6).
type fork struct {
	router  *Router
	to      sip.AoR // whose devices they are
	msg     *im.Message
	hops    int
	results chan stack.Result

	attempts  []attempt
	open      int          // calls without a result
	unreached int          // devices to which nothing could be sent
	answered  bool         // some device has
	best      *sip.Message // the best failure so far (section 16.7)
	stored    bool         // some device failed in a way after which the message is stored

	first [1]attempt // room for the attempts of nearly everybody
}

// attempt is one call to a device, and the flows of that device that are left.
type attempt struct {
	call    *stack.Call
	contact string
	rest    []hop
}

// hop is one way to a device: a binding, or a target that was looked up.
type hop struct {
	*registrar.Binding
	target stack.Target
}

// fork sends m to every device that takes messages; nil where there is none.
func (r *Router) fork(ctx context.Context, to sip.AoR, m *im.Message, ds [][]hop, hops int) *fork {
	n := 0
	for _, d := range ds {
		n += len(d)
	}
	if n == 0 {
		return nil
	}
	f := &fork{router: r, to: to, msg: m, hops: hops, results: make(chan stack.Result, n)}
	f.attempts = f.first[:0]
	for _, flows := range ds {
		f.try(ctx, flows)
	}
	return f
}

// devices groups the bindings that take messages by device: two flows of one
// instance are never used at once (RFC 5626 section 5.3), the newest goes first.
func devices(bindings []registrar.Binding) [][]hop {
	if len(bindings) == 0 {
		return nil
	}
	ds, hops := make([][]hop, 0, len(bindings)), make([]hop, len(bindings))
next:
	for i := range bindings {
		b := &bindings[i]
		if !b.Allows("MESSAGE") {
			continue
		}
		if b.Instance != "" && b.RegID != 0 {
			for d := range ds {
				if ds[d][0].Instance == b.Instance && ds[d][0].RegID != 0 {
					ds[d] = append(ds[d], hop{Binding: b})
					continue next
				}
			}
		}
		hops[i].Binding = b
		ds = append(ds, hops[i:i+1:i+1])
	}
	for _, d := range ds {
		if len(d) > 1 {
			slices.SortStableFunc(d, func(a, b hop) int { return b.Modified.Compare(a.Modified) })
		}
	}
	return ds
}

// try sends to the first flow of a device that takes the request.
func (f *fork) try(ctx context.Context, flows []hop) {
	for i := range flows {
		call, err := f.send(ctx, &flows[i])
		if err == nil {
			f.attempts = append(f.attempts, attempt{call, flows[i].Contact, flows[i+1:]})
			f.open++
			if f.router.Watch.Active() {
				f.tellSent(flows[i].Contact)
			}
			return
		}
		f.router.Log.Debug("device not reached", "contact", flows[i].Contact, "error", err)
	}
	f.unreached++
	f.stored = true
}

func (f *fork) send(ctx context.Context, h *hop) (*stack.Call, error) {
	flow, err := f.router.flow(ctx, h)
	if err != nil {
		return nil, err
	}
	var room [24]sip.Header // for nearly every message; what is sent is gone at once
	out := requestFor(f.msg, h.Binding, f.hops, room[:0])
	if flow.Transport == sip.UDP && out.Size() > stack.MaxDatagram {
		var wide bool
		if flow, wide = f.router.Stack.Widen(ctx, flow); !wide && !f.router.settings.Load().LargeOverUDP {
			return nil, errors.New("too large for UDP, and there is no other way")
		}
	}
	return f.router.Stack.Send(&out, f.to, flow, f.results)
}

// flow is where a hop is reached: as registered; or at a target; or, for a binding
// that was made by an administrator, where its URI points.
func (r *Router) flow(ctx context.Context, h *hop) (sip.Flow, error) {
	switch {
	case h.Flow != "":
		return sip.ParseFlow(h.Flow)
	case h.target.Transport != "":
		return r.Stack.Connect(ctx, h.target)
	}
	u, err := sip.ParseURI(h.Contact)
	if err != nil {
		return sip.Flow{}, err
	}
	ts, err := r.Stack.Resolve(ctx, u)
	if err != nil {
		return sip.Flow{}, err
	}
	return r.Stack.Connect(ctx, ts[0])
}

// take counts one result in. It gives the 2xx, where it is one. A flow that failed
// is followed by the device's next one.
func (f *fork) take(ctx context.Context, res stack.Result) *sip.Message {
	f.open--
	f.answered = f.answered || res.Err == nil
	if f.router.Watch.Active() {
		f.tellAnswered(res)
	}
	if res.Err == nil && res.Response.Status < 300 {
		return res.Response
	}
	if flowFailed(res) {
		if i := slices.IndexFunc(f.attempts, func(a attempt) bool { return a.call == res.Call }); i >= 0 && len(f.attempts[i].rest) > 0 {
			f.try(ctx, f.attempts[i].rest)
			return nil
		}
	}
	if res.Err != nil {
		f.stored = true
		return nil
	}
	if f.router.Silo.StoreOn(res.Response.Status) {
		f.stored = true
	}
	if better(res.Response, f.best) {
		f.best = res.Response
	}
	return nil
}

// flowFailed: RFC 5626 section 5.3, the flow leads nowhere any more.
func flowFailed(res stack.Result) bool {
	return res.Err != nil || res.Response.Status == 430 || res.Response.Status == 408
}

// better prefers a 6xx, else the lowest class (RFC 3261 section 16.7, step 6).
func better(a, b *sip.Message) bool {
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
	for _, a := range f.attempts {
		a.call.Abandon()
	}
}
