package delivery

import "silod/address"

// crowd is owners who are woken together: all who hear a room. It is worked off
// behind those who were woken one by one, so that whoever wakes thousands need not
// wait, and neither need those to whom somebody writes in person.
type crowd struct {
	queue  *Queue
	owners []address.AoR
	but    address.AoR // not woken
	next   int         // index of who is next
	left   int         // how many are still to be woken; round the end of the list
}

// crowds are those that are being woken, in order. Engine.mu guards them.
type crowds struct {
	line  []*crowd
	known map[*address.AoR]*crowd // by the beginning of their lists
}

// WakeAll is Wake for all owners but one, the zero AoR for nobody. It takes as long
// for thousands as for one. The list must not be written to any more.
func (q *Queue) WakeAll(owners []address.AoR, but address.AoR) {
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
			c.but = address.AoR{}
		}
		return
	}
	e.crowds.add(&crowd{queue: q, owners: owners, but: but, left: len(owners)})
	e.call()
}

func (cs *crowds) add(c *crowd) {
	if cs.known == nil {
		cs.known = make(map[*address.AoR]*crowd)
	}
	cs.line = append(cs.line, c)
	cs.known[&c.owners[0]] = c
}

// wakeNext wakes the next one of the first crowd. e.mu is held.
func (e *Engine) wakeNext() {
	c := e.crowds.line[0]
	a := c.owners[c.next]
	c.next = (c.next + 1) % len(c.owners)
	if c.left--; c.left == 0 {
		e.crowds.drop()
	}
	if a != c.but {
		e.wakeLocked(recipient{AoR: a}, c.queue.bit)
	}
}

// drop takes the first crowd out.
func (cs *crowds) drop() {
	delete(cs.known, &cs.line[0].owners[0])
	if cs.line = cs.line[1:]; len(cs.line) == 0 {
		cs.line = nil
	}
}
