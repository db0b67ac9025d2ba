package delivery

import "silod/sip"

// crowd is owners who are woken together: all who hear a room. It is worked off
// behind those who were woken one by one, so that whoever wakes thousands need not
// wait, and neither need those to whom somebody writes in person.
type crowd struct {
	queue  *Queue
	owners []sip.AoR
	but    sip.AoR // not woken
	next   int     // index of who is next
	left   int     // how many are still to be woken; round the end of the list
}

// crowds are those that are being woken, in order. Engine.mu guards them.
type crowds struct {
	line  []*crowd
	known map[*sip.AoR]*crowd // by the beginning of their lists
}

// WakeAll is Wake for all owners but one, the zero AoR for nobody. It takes as long
// for thousands as for one. The list must not be written to any more.
func (q *Queue) WakeAll(owners []sip.AoR, but sip.AoR) {
	if len(owners) == 0 {
		return
	}
	if q.devices != nil {
		for _, a := range owners {
			if a != but {
				q.Wake(a)
			}
		}
		return
	}
	e := q.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return
	}
	if c := e.crowds.known[&owners[0]]; c != nil && c.queue == q && len(c.owners) == len(owners) {
		// The same people, who are just being woken: once round the list from here.
		if c.left = len(owners); c.but != but {
			c.but = sip.AoR{}
		}
		return
	}
	e.crowds.add(&crowd{queue: q, owners: owners, but: but, left: len(owners)})
	e.call()
}

func (cs *crowds) add(c *crowd) {
	if cs.known == nil {
		cs.known = make(map[*sip.AoR]*crowd)
	}
	cs.line = append(cs.line, c)
	cs.known[&c.owners[0]] = c
}

// wakeNext wakes the next one of the first crowd; false where there is none. e.mu is
// held.
func (e *Engine) wakeNext() bool {
	if len(e.crowds.line) == 0 {
		return false
	}
	c := e.crowds.line[0]
	a := c.owners[c.next]
	c.next = (c.next + 1) % len(c.owners)
	if c.left--; c.left == 0 {
		e.crowds.drop()
	}
	if a != c.but {
		e.wakeLocked(recipient{AoR: a}, c.queue.bit)
	}
	return true
}

// drop takes the first crowd out.
func (cs *crowds) drop() {
	delete(cs.known, &cs.line[0].owners[0])
	if cs.line = cs.line[1:]; len(cs.line) == 0 {
		cs.line = nil
	}
}

// spare tells whether so many more workers can be spared for crowds, and for those who have not
// answered before. A quarter of them is kept for others: however many phones in large
// rooms are dead, who has just come online is served at once.
func (e *Engine) spare(more int) bool { return len(e.slots)+more <= cap(e.slots)-cap(e.slots)/4 }

// retry makes an owner ready whose time to be tried again has come, behind others.
func (e *Engine) retry(r recipient, o *owner) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.owners[r] != o || o.state != waiting {
		return
	}
	if o.holds > 0 {
		o.state = held
		return
	}
	o.state, o.late = queued, true
	e.late = append(e.late, r)
	e.call()
}

// hurry makes an owner ready who waits to be tried again. e.mu is held.
func (e *Engine) hurry(r recipient, o *owner) {
	switch {
	case o.state == waiting && o.timer.Stop():
		o.retries = 0
		e.start(r, o)
	case o.state == queued && o.late:
		o.late = false // what is left in e.late means nothing
		e.push(r)
	}
}

// tryLate makes the first one ready who is to be tried again; false where there is none.
// e.mu is held.
func (e *Engine) tryLate() bool {
	if len(e.late) == 0 {
		return false
	}
	r := e.late[0]
	if e.late = e.late[1:]; len(e.late) == 0 {
		e.late = nil
	}
	if o := e.owners[r]; o != nil && o.late {
		o.late = false
		e.ready = append(e.ready, r)
	}
	return true
}
