package delivery

import (
	"context"
	"slices"

	"silod/sip"
)

// A Divided is a Source of which some parts are independent, for example rooms. Keys are unique
// in the whole Source. The engine keeps the order of each part, and the parts take turns while
// more than a page of items waits.
type Divided interface {
	Source
	// Parts returns the parts that have items for an owner, nil if there is one at most.
	Parts(owner sip.AoR) []Reader
}

// A Reader is the part of a Source that reads. Two Readers are equal if they are for the same part.
type Reader interface {
	Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]Item, error)
}

// A lane is a position in a Source or in a part of it.
type lane struct {
	source    Reader
	last      int64   // key of the last item that was tried or skipped
	items     []Item  // behind it, read already
	full      bool    // items was a full page: more may follow
	unsettled []int64 // keys of items that must not be sent again
}

// firstPage is the number of items that are read before one was settled. They take memory while a
// recipient does not answer.
const firstPage = 8

// laneTurn is how many items of a lane are tried before it is the turn of the next one.
const laneTurn = 4

// forward tries all items of all lanes. The lanes take turns. A part is left out when it has no
// item any more.
func (p *pass) forward(ctx context.Context) Verdict {
	for len(p.lanes) > 0 {
		l := p.lanes[0]
		if len(l.items) == 0 {
			switch found, v := p.read(ctx, l); {
			case v != Delivered:
				return v
			case !found && !p.parted:
				return Delivered
			case !found:
				p.lanes = p.lanes[1:]
				continue
			}
			if !p.parted && l.full && p.divide() {
				continue
			}
		}
		count := len(l.items)
		if len(p.lanes) > 1 {
			count = laneTurn
		}
		if v := p.send(ctx, l, count, false); v != Delivered {
			return v
		}
		if len(p.lanes) > 1 {
			p.lanes = append(p.lanes[1:], l)
		}
	}
	return Delivered
}

// read reads a page of a lane, and reports whether it has an item.
func (p *pass) read(ctx context.Context, l *lane) (found bool, v Verdict) {
	if p.mustPause() {
		return false, paused
	}
	limit := p.engine.opt.Page
	switch {
	case len(p.lanes) > 1:
		limit = max(limit/len(p.lanes), laneTurn) // of all pages together
	case !p.settled:
		limit = min(limit, firstPage)
	}
	l.unsettled = p.queue.settler.keysOf(p.to)
	items, err := l.source.Next(ctx, p.to.AoR, l.last, limit)
	if err != nil {
		if ctx.Err() == nil {
			p.engine.opt.Log.Warn("queue not read", "owner", p.to.AoR, "error", err)
		}
		return false, Undelivered
	}
	if len(items) > 0 && p.engine.scheduler.isHeld(p.to) {
		// Since the pass began, a message that the engine did not send has been stored,
		// while it is in flight.
		return false, paused
	}
	l.items, l.full = items, len(items) == limit
	return len(items) > 0, Delivered
}

// divide adds a lane for each part of the Source that has items and no lane yet, before the
// others: its items have not waited for a turn. It reports whether there are lanes of parts.
func (p *pass) divide() bool {
	source, ok := p.source.(Divided)
	if !ok || !p.parted && len(p.whole.items) == 0 {
		return p.parted
	}
	parts := source.Parts(p.to.AoR)
	if !p.parted {
		if len(parts) < 2 {
			return false
		}
		p.parted, p.lanes, p.whole.items = true, nil, nil
	}
	var added []*lane
	for _, r := range parts {
		if !slices.ContainsFunc(p.lanes, func(l *lane) bool { return l.source == r }) {
			added = append(added, &lane{source: r})
		}
	}
	p.lanes = append(added, p.lanes...)
	return true
}
