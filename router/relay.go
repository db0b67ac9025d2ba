package router

import (
	"context"
	"time"
)

// toUser relays to devices of the user's. The first 2xx goes back. Without one, a 6xx
// is the user's own answer and goes back as well; after other failures, and when
// nobody has answered in time, the message is stored.
func (r *Router) toUser(ctx context.Context, in *incoming, ds [][]hop) {
	f := r.fork(ctx, in.to, in.Message, ds, in.hops)
	if f == nil {
		r.store(ctx, in, nil, true)
		return
	}
	timer := time.NewTimer(r.settings.Load().AcceptTimeout)
	defer timer.Stop()
	for f.open > 0 {
		select {
		case res := <-f.results:
			if ok := f.take(ctx, res); ok != nil {
				f.abandon()
				r.Stats.Relayed.Inc()
				in.tx.Forward(ok)
				return
			}
			if f.best != nil && f.best.Status >= 600 {
				f.abandon()
				in.tx.Forward(f.best)
				return
			}
		case <-timer.C:
			r.store(ctx, in, f, true)
			return
		case <-ctx.Done():
			f.abandon()
			in.tx.Unavailable("Server is stopping")
			return
		}
	}
	if f.stored {
		r.store(ctx, in, nil, true)
		return
	}
	in.tx.Forward(f.best)
}

// watch waits for devices that were slower than the sender could wait for: a 2xx
// that comes now removes the stored message, before the engine would send it
// again. id is 0 where nothing was stored. release lets the engine go on, once the
// message is gone.
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
		for f.open > 0 {
			if f.take(context.Background(), <-f.results) == nil {
				continue
			}
			f.abandon()
			if id != 0 {
				r.Silo.Remove(id, release)
				return
			}
			break
		}
		release()
	})
}
