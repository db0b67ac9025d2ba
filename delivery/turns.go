package delivery

import (
	"context"
	"sync/atomic"
)

// The queues of a recipient take turns. A queue that was added earlier comes first: after each
// item of another one, the engine looks whether it has new items. But when it has had a long turn,
// all queues behind it have a short one.
const (
	longTurn  = 128 // items
	shortTurn = 16
)

// A turn limits a run of a pass.
type turn struct {
	limited bool
	left    int  // items, if limited
	yields  bool // the run ends when a queue may have new items
}

// or returns t if it is not over and is like next, which begins otherwise.
func (t turn) or(next turn) turn {
	if t.left > 0 && t.limited == next.limited && t.yields == next.yields {
		return t
	}
	return next
}

// ends counts an item and reports whether the turn is over.
func (t *turn) ends(woken *atomic.Bool) bool {
	if t.limited {
		t.left--
	}
	return t.limited && t.left <= 0 || t.yields && woken.Load()
}

// A round is one attempt to empty the queues of a recipient. A set of queues is a number with the
// bit of each queue.
type round struct {
	engine *Engine
	to     recipientKey
	r      *recipient
	passes []*pass // by queue; nil: not begun
	buf    [4]*pass
	first  pass // that was begun; a part, so that most rounds are one allocation
	open   uint // queues to serve
	left   uint // queues that may not be empty; more than open
	served uint // queues that have had a long turn, since all were last served
}

func newRound(e *Engine, k recipientKey, r *recipient) *round {
	r.poison.skipped = nil
	o := &round{engine: e, to: k, r: r, open: r.draining, left: r.draining}
	if n := len(e.queues); n <= len(o.buf) {
		o.passes = o.buf[:n]
	} else {
		o.passes = make([]*pass, n)
	}
	return o
}

// run serves the queues. It returns Delivered when nothing is left; otherwise Offline or
// Undelivered.
func (o *round) run(ctx context.Context) Verdict {
	defer func() {
		for _, p := range o.passes {
			if p != nil {
				p.removals.wait(o.engine.workers.cpu)
			}
		}
	}()
	verdict := Delivered
	for o.open != 0 {
		i := o.next()
		bit := o.engine.queues[i].bit
		p := o.pass(i)
		switch v := p.run(ctx, p.turn.or(o.turn(bit))); v {
		case Delivered:
			o.left &^= bit
			o.close(i, bit)
		case paused, postponed:
			verdict = Undelivered
			o.close(i, 0)
		case interrupted:
			if p.turn.limited && p.turn.left <= 0 {
				o.served |= bit
			}
			o.refresh(0)
		default:
			return v
		}
	}
	if o.left == 0 {
		return Delivered
	}
	return verdict
}

// next returns the queue that is served next. When all have been served, the first one comes
// again.
func (o *round) next() int {
	if o.open&^o.served == 0 {
		o.served = 0
	}
	for i, q := range o.engine.queues {
		if o.open&^o.served&q.bit != 0 {
			return i
		}
	}
	return 0 // not reached
}

// turn returns the turn of a queue.
func (o *round) turn(bit uint) turn {
	behind := o.open &^ o.served &^ (2*bit - 1)
	switch {
	case o.served != 0:
		return turn{limited: true, left: shortTurn}
	case behind != 0:
		return turn{limited: true, left: longTurn, yields: true}
	}
	return turn{yields: true}
}

// close ends the pass through a queue. emptied is the bit of the queue if it is empty: new messages
// need not join it.
func (o *round) close(i int, emptied uint) {
	bit := o.engine.queues[i].bit
	o.open &^= bit
	o.served &^= bit
	o.passes[i].removals.wait(o.engine.workers.cpu)
	o.passes[i] = nil
	if o.open != 0 || o.r.woken.Load() {
		o.refresh(emptied)
	}
}

// refresh adds the queues that were woken meanwhile, but for those with a pass: there is another
// one at the end, which tries all items again.
func (o *round) refresh(emptied uint) {
	begun := uint(0)
	for i, p := range o.passes {
		if p != nil {
			begun |= o.engine.queues[i].bit
		}
	}
	more := o.engine.scheduler.refresh(o.r, emptied, begun)
	o.open |= more
	o.left |= more
}

// pass returns the pass through a queue.
func (o *round) pass(i int) *pass {
	if o.passes[i] == nil {
		q := o.engine.queues[i]
		p := &o.first
		if p.engine != nil {
			p = new(pass)
		}
		p.engine, p.to, p.queue, p.woken, p.poison, p.absent, p.signs =
			o.engine, o.to, q, &o.r.woken, &o.r.poison, &o.r.absent, &o.r.signs
		p.source, p.sender = q.sourceAndSender(o.to.device)
		o.passes[i] = p
	}
	return o.passes[i]
}

// refresh is called while a worker serves a recipient. The queues in emptied are no longer busy.
// It returns those that were woken meanwhile, which the worker serves, but for those in begun.
func (s *scheduler) refresh(r *recipient, emptied, begun uint) (more uint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.refresh(emptied, begun)
}

// refresh is scheduler.refresh. While the recipient is held, its queues wait.
func (r *recipient) refresh(emptied, begun uint) (more uint) {
	r.woken.Store(false)
	r.draining &^= emptied
	if emptied != 0 && r.gone != nil { // WaitEmpty looks again
		close(r.gone)
		r.gone = nil
	}
	if r.holds > 0 {
		return 0
	}
	more = r.pending &^ begun
	r.pending &= begun
	r.draining |= more
	return more
}
