package router

import (
	"context"

	"silod/proxy"
	"silod/sip"
)

// maxLateForks bounds the forks that outlive their requests.
const maxLateForks = 10_000

// awaitLateAnswers waits for devices that had not answered when the message was stored in
// owner's mailbox under id. A 2xx that comes now removes the stored message, a refusal is
// recorded. Then release, which ends the hold on the mailbox, is called. A message that was
// not stored, id is 0, is not sent any more: its sender has been told.
func (r *Router) awaitLateAnswers(fork *proxy.Fork, owner sip.AoR, id int64, release func()) {
	if id == 0 {
		fork.Abandon()
		release()
		return
	}
	select {
	case r.lateForks <- struct{}{}:
	default:
		fork.Abandon() // the device may receive the message twice, with the same Call-ID
		release()
		return
	}
	r.late.Go(func() {
		defer func() { <-r.lateForks }()
		out := fork.Wait(context.Background(), 0)
		for out.Open > 0 && !out.Accepted() { // after a 6xx, another device may still accept it
			out = fork.Wait(context.Background(), 0)
		}
		fork.Abandon()
		switch {
		case out.Accepted():
			r.opt.Queue.Removed(owner, id, r.opt.Silo.Remove, release)
		case len(out.Refused) > 0:
			r.opt.Queue.Removed(owner, id, func(id int64, done func(error)) {
				r.opt.Silo.Refuse(owner, id, out.Refusals(), func(err error) {
					done(err)
					if err == nil { // if it has failed before, other devices have not got the message
						r.opt.Queue.Wake(owner)
					}
				})
			}, release)
		default:
			release()
		}
	})
}

// Wait waits for the forks that have outlived their requests, until ctx ends.
func (r *Router) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.late.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
