package delivery

import "time"

const (
	// lookEvery is the time between two looks at the recipients that have a worker. A request
	// that is without an answer at the third look, after lateAfter at most, is late.
	lookEvery = 500 * time.Millisecond
	lateAfter = 3 * lookEvery
)

// pools bound the workers of each line. The worker of a recipient that does not answer is
// not free for the time of a transaction, 32 s. So each line has workers of its own, and
// recipients that did not answer the last time, or answer late, have few. A recipient of
// another line may stop answering, or may never have answered: of these only as many are
// sent to at once as leave workers for the next ones, when they turn out to be late. And
// a group leaves as many workers to the others as it has.
type pools struct {
	total   int        // by which the sizes are reckoned
	working [lines]int // workers
	late    [lines]int // of these, workers of recipients that are late

	list    []*recipient // that have a worker
	looking bool         // a look is due
}

// A work is the state of a recipient that has a worker.
type work struct {
	index    int    // in pools.list
	line     line   // from which it was taken
	requests uint32 // signs.requests at the last look
	looks    int    // since requests has changed
	late     bool
}

// size returns the number of workers of a line.
func (p *pools) size(at line) int {
	part := 4
	switch at {
	case personal, line(prompt):
		part = 2
	case line(slow):
		part = 8
	case line(silent):
		part = 32
	}
	return max(1, p.total/part)
}

// young returns the number of workers of a line that can wait for a recipient without being
// late. All can where lateness is expected.
func (p *pools) young(at line) int {
	if at == line(slow) || at == line(silent) {
		return p.size(at) - p.late[at]
	}
	return max(1, (p.size(at)-p.late[at])/2)
}

// may reports whether a recipient of a line can have a worker.
func (p *pools) may(at line) bool { return p.working[at]-p.late[at] < p.young(at) }

// share reports whether a group can have another worker of a line: its first one, or one of
// those that leave as many to others as the group has.
func (p *pools) share(at line, g *group) bool {
	young := g.working[at] - g.late[at]
	return (young == 0 || young <= p.young(at)-(p.working[at]-p.late[at])) &&
		(g.working[at] == 0 || g.working[at] <= p.size(at)-p.working[at])
}

// begin counts a recipient that gets a worker.
func (p *pools) begin(r *recipient, at line) {
	r.work = work{index: len(p.list), line: at, requests: r.signs.requests.Load()}
	p.list = append(p.list, r)
	p.working[at]++
	r.place.group.working[at]++
}

// end counts a recipient that gives its worker back.
func (p *pools) end(r *recipient) {
	w := &r.work
	last := len(p.list) - 1
	p.list[w.index] = p.list[last]
	p.list[w.index].work.index = w.index
	p.list[last] = nil
	p.list = p.list[:last]
	p.working[w.line]--
	r.place.group.working[w.line]--
	if w.late {
		p.late[w.line]--
		r.place.group.late[w.line]--
	}
}

// look notes which recipients are late.
func (p *pools) look() {
	for _, r := range p.list {
		w := &r.work
		if n := r.signs.requests.Load(); n != w.requests || n&1 == 0 { // none is under way
			w.requests, w.looks = n, 0
			continue
		}
		if w.looks++; w.looks < 2 {
			continue
		}
		r.late = true
		if !w.late {
			w.late = true
			p.late[w.line]++
			r.place.group.late[w.line]++
		}
	}
}

// numbers returns the workers that serve, and of these those of recipients that are late.
func (s *scheduler) numbers() (busy, late int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range lines {
		late += s.pools.late[at]
	}
	return len(s.pools.list), late
}
