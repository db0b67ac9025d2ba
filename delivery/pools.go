package delivery

import "time"

const (
	// lookEvery is the time between two looks at the recipients that have a worker. A request
	// that is without an answer at the third look, after lateAfter at most, is late.
	lookEvery = 500 * time.Millisecond
	lateAfter = 3 * lookEvery
)

// pools bound the workers of each class. The worker of a recipient that does not answer is
// not free for the time of a transaction, 32 s. So recipients that did not answer the last
// time, and those that answer late, have a few workers, and so have the first requests to
// recipients of which nothing is known: of these only as many are sent at once as leave
// workers for the next ones. Prompt recipients can have all workers that are free, but one
// group no more than are free for the others.
type pools struct {
	total   int          // workers
	busy    int          // workers that serve
	working [classes]int // of these, by the class of the recipient when it was taken
	late    int          // of these, prompt or unknown recipients that are late
	young   [2]int       // of these, unknown recipients that are not late: of rooms, and others

	list    []*recipient // that have a worker
	looking bool         // a look is due
}

// A work is the state of a recipient that has a worker.
type work struct {
	index    int    // in pools.list
	class    class  // when it was taken
	single   bool   // it was not woken by a room
	requests uint32 // signs.requests at the last look
	looks    int    // since requests has changed
	late     bool
}

// may reports whether a recipient of a line can have a worker.
func (p *pools) may(at line) bool {
	if p.busy >= p.total {
		return false
	}
	switch at {
	case line(unknown):
		return p.young[0] < max(1, (p.total/2-p.late)/2)
	case stranger:
		return p.young[1] < max(1, (p.total*3/4-p.late)/2)
	case line(slow):
		return p.working[slow] < max(1, p.total/4)
	case line(silent):
		return p.working[silent] < max(1, p.total/16)
	}
	return true
}

// share reports whether a group can have one more worker for a recipient of a class: it must
// leave as many to others as it has.
func (p *pools) share(c class, g *group) bool {
	switch c {
	case slow:
		return g.working[slow] <= p.total/4-p.working[slow]
	case silent:
		return g.working[silent] <= p.total/16-p.working[silent]
	}
	return g.working[prompt]+g.working[unknown] <= p.total-p.busy
}

// begin counts a recipient that gets a worker.
func (p *pools) begin(r *recipient) {
	r.work = work{index: len(p.list), class: r.class, single: r.turn.group.name.room == nil, requests: r.signs.requests.Load()}
	p.list = append(p.list, r)
	p.busy++
	p.working[r.class]++
	r.turn.group.working[r.class]++
	if r.class == unknown {
		*p.youngOf(r)++
	}
}

// end counts a recipient that gives its worker back.
func (p *pools) end(r *recipient) {
	last := len(p.list) - 1
	p.list[r.work.index] = p.list[last]
	p.list[r.work.index].work.index = r.work.index
	p.list[last] = nil
	p.list = p.list[:last]
	p.busy--
	p.working[r.work.class]--
	r.turn.group.working[r.work.class]--
	switch {
	case r.work.late:
		p.late--
	case r.work.class == unknown:
		*p.youngOf(r)--
	}
}

// youngOf returns the count of young to which an unknown recipient belongs.
func (p *pools) youngOf(r *recipient) *int {
	if r.work.single {
		return &p.young[1]
	}
	return &p.young[0]
}

// look notes which recipients are late.
func (p *pools) look() {
	for _, r := range p.list {
		w := &r.work
		if n := r.signs.requests.Load(); n != w.requests || n&1 == 0 { // no request is under way
			w.requests, w.looks = n, 0
			continue
		}
		if w.looks++; w.looks < 2 {
			continue
		}
		r.late = true
		if !w.late && (w.class == unknown || w.class == prompt) {
			w.late = true
			p.late++
			if w.class == unknown {
				*p.youngOf(r)--
			}
		}
	}
}

// numbers returns the workers that serve, and of these those of slow and silent recipients,
// and of others that are late.
func (s *scheduler) numbers() (busy, late int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pools.busy, s.pools.late + s.pools.working[slow] + s.pools.working[silent]
}
