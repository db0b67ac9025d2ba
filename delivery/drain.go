package delivery

import (
	"context"
	"slices"
	"time"
)

// drain brings a recipient everything that waits in the queues of look, one after
// the other. It gives Delivered when nothing is left; else Offline when there is
// nobody to bring it to, or Undelivered when it must be tried again, with the
// queues that were not emptied.
func (e *Engine) drain(ctx context.Context, r recipient, t *trouble, look uint) (v Verdict, left uint) {
	for _, q := range e.queues {
		if look&q.bit == 0 {
			continue
		}
		rd := round{engine: e, to: r, queue: q, trouble: t}
		rd.source, rd.by = q.serve(r.device)
		switch v := rd.run(ctx); v {
		case Delivered:
		case paused:
			left |= q.bit
		default:
			return v, look | left
		}
		look &^= q.bit
	}
	if left != 0 {
		return Undelivered, left
	}
	return Delivered, 0
}

// paused is the verdict on a queue in which too many items wait for their removal.
const paused Verdict = -1

// round is one attempt to empty a queue.
type round struct {
	engine  *Engine
	to      recipient
	queue   *Queue
	source  Source
	by      Sender
	trouble *trouble

	settling settling
	sent     bool    // something was settled since the queue was begun
	skipped  bool    // something is to go behind the rest
	resting  bool    // something is not to be tried yet
	failed   []int64 // keys of items that failed in this round and were passed over
	budget   int     // how many more may be
}

// run goes through the queue until there is nothing left to send. Rows are settled
// while the next message is on its way. In the end all of them are waited for, and
// the Source is asked once more, because a row with a lower key may have been
// committed late by another node.
func (r *round) run(ctx context.Context) Verdict {
	defer r.settling.wait(r.engine.turns)
	for {
		r.sent, r.skipped = false, false
		if v := r.all(ctx); v != Delivered {
			return v
		}
		r.settling.wait(r.engine.turns)
		switch {
		case r.sent:
		case len(r.failed) > 0 || r.resting:
			return Undelivered
		default:
			return Delivered
		}
	}
}

// all sends everything once: first what has to go behind nothing, then page by page
// what goes behind the rest. What comes in the meantime does not wait for that.
func (r *round) all(ctx context.Context) Verdict {
	var top int64
	var v Verdict
	for after, more := int64(0), true; more; {
		for begun := int64(-1); begun != top; { // to the end of the queue
			begun = top
			if top, v = r.page(ctx, top, false); v != Delivered {
				return v
			}
		}
		begun := after
		if r.skipped {
			if after, v = r.page(ctx, after, true); v != Delivered {
				return v
			}
		}
		more = after != begun
	}
	return Delivered
}

// page takes the items with keys above after, as many as are read at once, and sends
// those that go behind the rest, or those that do not. It gives the last key: after
// itself at the end of the queue.
func (r *round) page(ctx context.Context, after int64, behind bool) (int64, Verdict) {
	if r.paused() {
		return after, paused
	}
	settled := r.queue.settler.keysOf(r.to)
	items, err := r.source.Next(ctx, r.to.AoR, after, r.engine.opt.Page)
	if err != nil {
		r.engine.opt.Log.Warn("read queue", "owner", r.to.AoR, "error", err)
		return after, Undelivered
	}
	for i := range items {
		after = items[i].Key
		if slices.Contains(settled, after) || !r.due(&items[i], behind) {
			continue
		}
		if v := r.deliver(ctx, &items[i]); v != Delivered {
			return after, v
		}
	}
	return after, Delivered
}

// due tells whether it is an item's turn.
func (r *round) due(it *Item, behind bool) bool {
	now := time.Now()
	if !it.Expires.IsZero() && !now.Before(it.Expires) || slices.Contains(r.failed, it.Key) {
		return false // what has expired its Source will clear away
	}
	odd := r.trouble.find(r.queue, it.Key)
	if odd != nil && now.Before(odd.next) {
		r.resting = true
		return false
	}
	if odd == nil && !it.Later {
		return !behind
	}
	r.skipped = true
	return behind
}

// deliver sends one item. Delivered means that the queue may move on.
func (r *round) deliver(ctx context.Context, it *Item) Verdict {
	begun := time.Now()
	out := r.send(ctx, it)
	r.engine.Latency.Observe(time.Since(begun))
	log := r.engine.opt.Log
	switch out.Verdict {
	case Delivered:
		r.engine.Delivered.Inc()
		r.trouble.blame(r.queue, r.failed)
	case Refused:
		r.engine.Refused.Inc()
		log.Info("refused for good", "owner", r.to.AoR, "call_id", it.CallID, "reason", out.Reason)
	case Undelivered, Offline:
		r.engine.Failed.Inc()
		log.Debug("not delivered", "owner", r.to.AoR, "call_id", it.CallID, "reason", out.Reason)
		if out.Verdict == Undelivered && r.mayPass(it, out) {
			r.failed = append(r.failed, it.Key)
			return Delivered
		}
		return out.Verdict
	}
	r.sent = true
	r.settle(it, out)
	return Delivered
}

// settle has an item removed that was delivered or refused.
func (r *round) settle(it *Item, out Outcome) {
	r.settling.begin()
	settle(r.source, r.to, it, out, func(err error) {
		if err != nil {
			r.queue.settler.add(&removal{to: r.to, source: r.source, item: *it, out: out}, err)
		}
		r.settling.end()
	})
}

// paused reports whether another page could mean more items that wait for their removal
// than are remembered. It waits for those whose outcome is not known.
func (r *round) paused() bool {
	page, settler := r.engine.opt.Page, &r.queue.settler
	if !settler.full(r.to, r.settling.count()+page) {
		return false
	}
	r.settling.wait(r.engine.turns)
	return settler.pause(r.to, page)
}

// send sends an item. Where it got no answer, and not for the first time, the
// recipient is asked for a sign of life. One who gives it may have come back just
// now, so the item is sent once more: then it is known what to think of it.
func (r *round) send(ctx context.Context, it *Item) Outcome {
	out := r.try(ctx, it)
	if out.Verdict != Undelivered || out.Answered || !r.suspect(it) {
		return out
	}
	if !r.alive(ctx) {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, secondSend)
	defer cancel()
	if out = r.try(ctx, it); out.Verdict == Undelivered {
		out.Answered = true
	}
	return out
}

// try sends an item once. One that cannot be sent without a panic is set aside: it
// would be the same every time.
func (r *round) try(ctx context.Context, it *Item) (out Outcome) {
	defer func() {
		if p := recover(); p != nil {
			r.engine.panicked(r.to, p)
			out = Outcome{Verdict: Refused, Reason: "silod failed to send it, see its log"}
		}
	}()
	a := r.by.Send(ctx, r.to.AoR, it)
	r.engine.turns.without(func() { out = a.Wait(ctx) })
	return out
}

func (r *round) alive(ctx context.Context) (alive bool) {
	ctx, cancel := context.WithTimeout(ctx, signOfLife)
	defer cancel()
	r.engine.turns.without(func() { alive = r.by.Alive(ctx, r.to.AoR) })
	return alive
}

// What a recipient who is there gets done in spite of a lost datagram or two.
const (
	signOfLife = 4 * time.Second
	secondSend = 8 * time.Second
)
