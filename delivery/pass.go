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
	absent *absentList
	signs  *signs

	removals    openRemovals
	settled     bool    // an item was settled since the pass last began at the head of the queue
	hasDeferred bool    // the queue has items that are sent behind the others
	postponed   bool    // an item must not be tried yet
	failed      []int64 // keys of items that failed in this pass and were skipped
	budget      int     // items that may still be skipped
	partial     []int64 // keys of partial items that failed in this pass; maxSkipped at most

	seen []string // devices that have answered a probe in this pass
}

// paused is the verdict on a queue that is held, or in which too many items wait for their
// removal.
const paused Verdict = -1

// Within these times a recipient that is reachable answers, even if a datagram or two
// are lost.
const (
	aliveTimeout      = 4 * time.Second // of Sender.Alive
	secondSendTimeout = 8 * time.Second
)

// firstPage is the number of items that are read before one was settled. They take memory while a
// recipient does not answer.
const firstPage = 8

// run sends items until the queue is empty. Items are removed while the next one is in
// flight. At the end it waits for all removals and asks the Source once more, because
// another node may have committed a row with a lower key late.
func (p *pass) run(ctx context.Context) Verdict {
	cpu := p.engine.workers.cpu
	defer p.removals.wait(cpu)
	for {
		p.settled, p.hasDeferred = false, false
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

// all tries every item once. Items with Later set and poison items are deferred: a page of
// them is sent when no other item is left. So a message that arrives meanwhile is sent
// before the next page of deferred items.
func (p *pass) all(ctx context.Context) Verdict {
	var last, lastDeferred int64 // keys of the last items read
	var v Verdict
	for more := true; more; {
		for begun := int64(-1); begun != last; { // to the end of the queue
			begun = last
			if last, v = p.page(ctx, last, false); v != Delivered {
				return v
			}
		}
		begun := lastDeferred
		if p.hasDeferred {
			if lastDeferred, v = p.page(ctx, lastDeferred, true); v != Delivered {
				return v
			}
		}
		more = lastDeferred != begun
	}
	return Delivered
}

// page reads one page of items with keys above after and sends the deferred ones of them,
// or the others. It returns the last key that it has read, which is after at the end of
// the queue.
func (p *pass) page(ctx context.Context, after int64, deferred bool) (int64, Verdict) {
	if p.mustPause() {
		return after, paused
	}
	unsettled := p.queue.settler.keysOf(p.to)
	limit := p.engine.opt.Page
	if !p.settled {
		limit = min(limit, firstPage)
	}
	items, err := p.source.Next(ctx, p.to.AoR, after, limit)
	if err != nil {
		p.engine.opt.Log.Warn("queue not read", "owner", p.to.AoR, "error", err)
		return after, Undelivered
	}
	if len(items) > 0 && p.engine.scheduler.isHeld(p.to) {
		// Since the pass began, a message that the engine did not send has been stored,
		// while it is in flight.
		return after, paused
	}
	for i := range items {
		after = items[i].Key
		if slices.Contains(unsettled, after) || !p.due(&items[i], deferred) || p.removedBefore(&items[i]) {
			continue
		}
		if v := p.deliver(ctx, &items[i]); v != Delivered {
			return after, v
		}
	}
	return after, Delivered
}

// removedBefore reports whether an item was delivered and removed before. Then it is removed
// again, and does not count as settled: the Source may return it once more.
func (p *pass) removedBefore(it *Item) bool {
	if !p.queue.settler.wasRemoved(&p.to, it) {
		return false
	}
	p.engine.opt.Log.Debug("removed message returned", "owner", p.to.AoR, "call_id", it.CallID)
	p.settle(it, Outcome{Verdict: Delivered})
	return true
}

// mustPause reports whether the settler would exceed its bounds if no item of another page
// could be removed. Before it reports true it waits for the open removals, of which most
// succeed.
func (p *pass) mustPause() bool {
	page, settler := p.engine.opt.Page, &p.queue.settler
	if !settler.full(p.to, p.removals.count()+page) {
		return false
	}
	p.removals.wait(p.engine.workers.cpu)
	return settler.pause(p.to, page)
}

// due reports whether an item is to be sent now, among the deferred items or among the
// others.
func (p *pass) due(it *Item, deferred bool) bool {
	now := time.Now()
	expired := !it.Expires.IsZero() && !p.engine.opt.Now().Before(it.Expires)
	if expired || slices.Contains(p.failed, it.Key) || slices.Contains(p.partial, it.Key) {
		return false // the Source removes expired items
	}
	if !p.absent.choose(it, now) {
		p.postponed = true
		return false
	}
	poison := p.poison.find(p.queue, it.Key)
	if poison != nil && now.Before(poison.next) {
		p.postponed = true
		return false
	}
	if poison == nil && !it.Later {
		return !deferred
	}
	p.hasDeferred = true
	return deferred
}

// deliver sends one item and settles it. It returns Delivered if the pass continues with
// the next item, which includes items that were refused or skipped.
func (p *pass) deliver(ctx context.Context, it *Item) Verdict {
	if it.Partial && !p.present(ctx, it) {
		p.postponed = true
		return Delivered
	}
	begun := time.Now()
	out := p.send(ctx, it)
	p.engine.Latency.Observe(time.Since(begun))
	if !it.Partial && (out.Verdict != Undelivered || len(out.Refusals) == 0 && p.poison.find(p.queue, it.Key) == nil) {
		p.signs.note(out)
	}
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
		if p.leaveToOthers(it, out, begun) {
			return Delivered
		}
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

// send sends an item. If it got no answer, and not for the first time, send asks
// Sender.Alive. A recipient that is alive may have come back just now, so the item is
// sent once more. If that fails as well, the item is the cause, and the outcome counts as
// answered.
func (p *pass) send(ctx context.Context, it *Item) Outcome {
	out := p.try(ctx, it)
	if out.Verdict != Undelivered || out.Answered || it.Partial || !p.maybePoison(it) {
		return out
	}
	if !p.alive(ctx, nil) {
		return out
	}
	ctx, cancel := context.WithTimeout(ctx, secondSendTimeout)
	defer cancel()
	if out = p.try(ctx, it); out.Verdict == Undelivered {
		out.Answered = true
	}
	return out
}

// try sends an item once. After a panic the item is refused: the next try would probably
// panic as well.
func (p *pass) try(ctx context.Context, it *Item) (out Outcome) {
	defer func() {
		if v := recover(); v != nil {
			p.engine.logPanic(p.to, v)
			out = Outcome{Verdict: Refused, Reason: "internal error of silod, see its log"}
		}
	}()
	p.signs.begin()
	defer p.signs.end()
	a := p.sender.Send(ctx, p.to.AoR, it)
	p.engine.workers.cpu.releaseWhile(func() { out = a.Wait(ctx) })
	return out
}

func (p *pass) alive(ctx context.Context, devices []string) (alive bool) {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	p.signs.begin()
	defer p.signs.end()
	p.engine.workers.cpu.releaseWhile(func() { alive = p.sender.Alive(ctx, p.to.AoR, devices) })
	return alive
}
