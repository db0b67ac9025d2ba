package router

import (
	"context"

	"silod/delivery"
	"silod/proxy"
	"silod/sip"
)

// maxLateForks bounds the forks that outlive their requests.
const maxLateForks = 10_000

// awaitLateAnswers waits for devices that had not answered when the message was stored under
// id. A 2xx that comes now removes the stored message, a refusal is recorded. Then release,
// which ends the hold on the mailbox, is called. A message that was not stored, id is 0, is not
// sent any more: its sender has been told.
func (r *Router) awaitLateAnswers(fork *proxy.Fork, in *incoming, id int64, release func()) {
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
	owner, item := in.silo.Owner, in.silo.Item(id)
	r.late.Go(func() {
		defer func() { <-r.lateForks }()
		out := fork.WaitLate(context.Background())
		fork.Abandon()
		switch {
		case out.Accepted():
			remove := func(done func(error)) { r.opt.Silo.Remove(&in.silo, id, done) }
			r.opt.Queue.Settle(owner, item, delivery.Outcome{Verdict: delivery.Delivered}, remove, release)
		case len(out.Refused) > 0:
			refuse := func(done func(error)) { r.refuse(owner, id, out.Refusals(), done) }
			r.opt.Queue.Settle(owner, item, delivery.Outcome{Verdict: delivery.Refused}, refuse, release)
		default:
			release()
		}
	})
}

// refuse records that devices have refused a stored message.
func (r *Router) refuse(owner sip.AoR, id int64, refusals []delivery.Refusal, done func(error)) {
	r.opt.Silo.Refuse(owner, id, refusals, func(err error) {
		done(err)
		if err == nil { // if it has failed before, other devices have not got the message
			r.opt.Queue.Wake(owner)
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
