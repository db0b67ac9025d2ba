package delivery

import (
	"context"
	"slices"
	"time"
)

// A pass is one attempt to empty a queue of a recipient.
type pass struct {
	engine *Engine
	to     recipientKey
	queue  *Queue
	source Source
	sender Sender
	poison *poisonList

	removals  openRemovals
	settled   bool    // an item was settled since the queue was begun
	skipped   bool    // an item has to go behind the rest
	postponed bool    // an item must not be tried yet
	failed    []int64 // keys of items that failed in this pass and were skipped
	budget    int     // items that may still be skipped
}

// paused is the verdict on a queue in which too many items wait for their removal.
const paused Verdict = -1

// run sends items until the queue is empty. Items are removed while the next one is in
// flight. At the end it waits for all removals and asks the Source once more, because
// another node may have committed a row with a lower key late.
func (p *pass) run(ctx context.Context) Verdict {
	cpu := p.engine.workers.cpu
	defer p.removals.wait(cpu)
	for {
		p.settled, p.skipped = false, false
		if v := p.all(ctx); v != Delivered {
			return v
		}
		p.removals.wait(cpu)
		switch {
		case p.settled:
		case len(p.failed) > 0 || p.postponed:
			return Undelivered
		default:
			return Delivered
		}
	}
}

// all sends every item once: first those that go behind no other, then page by page
// those that go behind the rest. Items that arrive meanwhile are sent between pages.
func (p *pass) all(ctx context.Context) Verdict {
	var top int64
	var v Verdict
	for after, more := int64(0), true; more; {
		for begun := int64(-1); begun != top; { // to the end of the queue
			begun = top
			if top, v = p.page(ctx, top, false); v != Delivered {
				return v
			}
		}
		begun := after
		if p.skipped {
			if after, v = p.page(ctx, after, true); v != Delivered {
				return v
			}
		}
		more = after != begun
	}
	return Delivered
}

// page reads the items with keys above after, as many as are read at once, and sends
// those that go behind the rest, or the others. It returns the last key: after at the
// end of the queue.
func (p *pass) page(ctx context.Context, after int64, behind bool) (int64, Verdict) {
	if p.paused() {
		return after, paused
	}
	unsettled := p.queue.settler.keysOf(p.to)
	items, err := p.source.Next(ctx, p.to.AoR, after, p.engine.opt.Page)
	if err != nil {
		p.engine.opt.Log.Warn("queue not read", "owner", p.to.AoR, "error", err)
		return after, Undelivered
	}
	for i := range items {
		after = items[i].Key
		if slices.Contains(unsettled, after) || !p.due(&items[i], behind) {
			continue
		}
		if v := p.deliver(ctx, &items[i]); v != Delivered {
			return after, v
		}
	}
	return after, Delivered
}

// paused reports whether the settler may have to remember more items after another
// page than it can. It waits for the removals whose outcome is not known.
func (p *pass) paused() bool {
	page, settler := p.engine.opt.Page, &p.queue.settler
	if !settler.full(p.to, p.removals.count()+page) {
		return false
	}
	p.removals.wait(p.engine.workers.cpu)
	return settler.pause(p.to, page)
}

// due reports whether an item is to be sent now.
func (p *pass) due(it *Item, behind bool) bool {
	now := time.Now()
	if !it.Expires.IsZero() && !now.Before(it.Expires) || slices.Contains(p.failed, it.Key) {
		return false // the Source removes expired items
	}
	poison := p.poison.find(p.queue, it.Key)
	if poison != nil && now.Before(poison.next) {
		p.postponed = true
		return false
	}
	if poison == nil && !it.Later {
		return !behind
	}
	p.skipped = true
	return behind
}

// deliver sends one item. Delivered means that the pass goes on to the next one.
func (p *pass) deliver(ctx context.Context, it *Item) Verdict {
	begun := time.Now()
	out := p.send(ctx, it)
	p.engine.Latency.Observe(time.Since(begun))
	log := p.engine.opt.Log
	switch out.Verdict {
	case Delivered:
		p.engine.Delivered.Inc()
		p.poison.markPoison(p.queue, p.failed)
	case Refused:
		p.engine.Refused.Inc()
		log.Info("message refused", "owner", p.to.AoR, "call_id", it.CallID, "reason", out.Reason)
	case Undelivered, Offline:
		p.engine.Failed.Inc()
		log.Debug("message not delivered", "owner", p.to.AoR, "call_id", it.CallID, "reason", out.Reason)
		if out.Verdict == Undelivered && p.maySkip(it, out) {
			p.failed = append(p.failed, it.Key)
			return Delivered
		}
		return out.Verdict
	}
	p.settled = true
	p.settle(it, out)
	return Delivered
}

// send sends an item. Where it got no answer, and not for the first time, Sender.Alive
// is asked. If the recipient is alive, it may have come back just now, so the item is
// sent once more: after that, the failure is the item's.
func (p *pass) send(ctx context.Context, it *Item) Outcome {
	out := p.try(ctx, it)
	if out.Verdict != Undelivered || out.Answered || !p.maybePoison(it) {
		return out
	}
	if !p.alive(ctx) {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, secondSend)
	defer cancel()
	if out = p.try(ctx, it); out.Verdict == Undelivered {
		out.Answered = true
	}
	return out
}

// try sends an item once. After a panic the item is refused, because the next try would
// panic as well.
func (p *pass) try(ctx context.Context, it *Item) (out Outcome) {
	defer func() {
		if v := recover(); v != nil {
			p.engine.logPanic(p.to, v)
			out = Outcome{Verdict: Refused, Reason: "internal error of silod, see its log"}
		}
	}()
	a := p.sender.Send(ctx, p.to.AoR, it)
	p.engine.workers.cpu.releaseWhile(func() { out = a.Wait(ctx) })
	return out
}

func (p *pass) alive(ctx context.Context) (alive bool) {
	ctx, cancel := context.WithTimeout(ctx, signOfLife)
	defer cancel()
	p.engine.workers.cpu.releaseWhile(func() { alive = p.sender.Alive(ctx, p.to.AoR) })
	return alive
}

// Within these times a recipient that is reachable answers, even if a datagram or two
// are lost.
const (
	signOfLife = 4 * time.Second
	secondSend = 8 * time.Second
)
