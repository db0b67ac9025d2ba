package delivery

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// A pass is one attempt to empty a queue of a recipient. It can be interrupted for other queues
// and continued.
type pass struct {
	engine *Engine
	to     recipientKey
	woken  *atomic.Bool // a queue of the recipient may have new items
	turn   turn
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

	parted       bool // the lanes are parts of the Source
	lanes        []*lane
	whole        lane
	buf          [1]*lane
	begun        bool  // run was called before
	lastDeferred int64 // key of the last deferred item that was read
}

// Verdicts on queues that are not empty, beside those of items.
const (
	paused      Verdict = -1 - iota // it is held, or too many items wait for their removal
	postponed                       // some items must not be tried yet, or were skipped; the recipient answers
	interrupted                     // the pass can be continued
)

// Within these times a recipient that is reachable answers, even if a datagram or two
// are lost.
const (
	aliveTimeout      = 4 * time.Second // of Sender.Alive
	secondSendTimeout = 8 * time.Second
)

// run sends items until the queue is empty or the turn is over. Items are removed while the next
// one is in flight. At the end it waits for all removals and asks the Source once more, because
// another node may have committed a row with a lower key late.
func (p *pass) run(ctx context.Context, t turn) Verdict {
	p.turn = t
	if p.begun {
		p.divide()
	} else {
		p.begin()
	}
	for {
		if v := p.all(ctx); v != Delivered {
			return v
		}
		p.removals.wait(p.engine.workers.cpu)
		switch {
		case p.settled:
		case len(p.failed) > 0 || p.postponed:
			return postponed
		default:
			return Delivered
		}
		p.begin()
	}
}

// begin goes to the head of the queue.
func (p *pass) begin() {
	p.begun, p.settled, p.hasDeferred, p.parted, p.lastDeferred = true, false, false, false, 0
	p.whole = lane{source: p.source}
	p.lanes = append(p.buf[:0], &p.whole)
}

// all tries every item once. Items with Later set and poison items are deferred: a page of
// them is sent when no other item is left. So a message that arrives meanwhile is sent
// before the next page of deferred items.
func (p *pass) all(ctx context.Context) Verdict {
	for more := true; more; {
		if v := p.forward(ctx); v != Delivered {
			return v
		}
		more = false
		if p.hasDeferred {
			l := lane{source: p.source, last: p.lastDeferred}
			found, v := p.read(ctx, &l)
			if found && v == Delivered {
				v = p.send(ctx, &l, len(l.items), true)
			}
			more, p.lastDeferred = found, l.last
			if v != Delivered {
				return v
			}
		}
	}
	return Delivered
}

// send sends items of a lane, count at most: the deferred ones or the others.
func (p *pass) send(ctx context.Context, l *lane, count int, deferred bool) Verdict {
	for ; count > 0 && len(l.items) > 0; count-- {
		it := &l.items[0]
		l.items, l.last = l.items[1:], it.Key
		if slices.Contains(l.unsettled, it.Key) || it.Withdrawn() || !p.due(it, deferred) || p.removedBefore(it) {
			continue
		}
		if v := p.deliver(ctx, it); v != Delivered {
			return v
		}
		if p.turn.ends(p.woken) {
			return interrupted
		}
	}
	return Delivered
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
	out := p.attempt(ctx, it)
	p.engine.Latency.Observe(time.Since(begun))
	if !it.Partial && (out.Verdict != Undelivered || len(out.Refusals) == 0 && p.poison.find(p.queue, it.Key) == nil) {
		p.signs.note(out)
	}
	log := p.engine.opt.Log
	switch out.Verdict {
	case Delivered:
		p.engine.Delivered.Inc()
		p.poison.markPoison()
	case Refused:
		p.engine.Refused.Inc()
		log.Info("message refused", "owner", p.to.AoR, "call_id", it.CallID, "reason", out.Reason)
	case Undelivered, Offline:
		if it.Withdrawn() {
			return Delivered
		}
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

// attempt sends an item. If it got no answer, and not for the first time, attempt asks
// Sender.Alive. A recipient that is alive may have come back just now, so the item is
// sent once more. If that fails as well, the item is the cause, and the outcome counts as
// answered.
func (p *pass) attempt(ctx context.Context, it *Item) Outcome {
	out := p.try(ctx, it)
	if out.Verdict != Undelivered || out.Answered || it.Partial || !p.maybePoison(it) {
		return out
	}
	if !p.alive(ctx, nil) || it.Withdrawn() {
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
