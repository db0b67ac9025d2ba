package delivery

import "silod/sip"

// A broadcast wakes the members of a room. Its members are served after recipients that
// are woken one by one, so that a personal message does not wait for thousands of them.
type broadcast struct {
	queue   *Queue
	members []sip.AoR
	except  sip.AoR // not woken
	next    int     // index of the next member, 0 after the last one
	left    int     // members still to be woken
}

// broadcasts are the broadcasts in progress. scheduler.mu guards them.
type broadcasts struct {
	list    []*broadcast
	byStart map[*sip.AoR]*broadcast // by the address of the first member: the same list has the same one
}

// WakeAll is Wake for all members but one, the zero AoR for no exception. It takes as
// long for thousands as for one. The caller must not change the list any more.
func (q *Queue) WakeAll(members []sip.AoR, except sip.AoR) {
	if len(members) == 0 {
		return
	}
	if q.devices != nil {
		for _, a := range members {
			if a != except {
				q.Wake(a)
			}
		}
		return
	}
	q.engine.scheduler.wakeAll(broadcast{queue: q, members: members, except: except, left: len(members)})
}

func (s *scheduler) wakeAll(b broadcast) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && s.broadcasts.add(b) {
		s.notify()
	}
}

// add adds a broadcast and reports true. If a broadcast to the same list is in progress,
// add reports false and has that one wake every member once more, from where it is.
func (bs *broadcasts) add(b broadcast) bool {
	start := &b.members[0]
	if c := bs.byStart[start]; c != nil && c.queue == b.queue && len(c.members) == len(b.members) {
		c.left = len(c.members)
		if c.except != b.except {
			c.except = sip.AoR{}
		}
		return false
	}
	if bs.byStart == nil {
		bs.byStart = make(map[*sip.AoR]*broadcast)
	}
	added := b
	bs.list = append(bs.list, &added)
	bs.byStart[start] = &added
	return true
}

// next returns the next member of the first broadcast; ok is false where there is none.
func (bs *broadcasts) next() (q *Queue, member sip.AoR, ok bool) {
	for len(bs.list) > 0 {
		b := bs.list[0]
		member = b.members[b.next]
		b.next = (b.next + 1) % len(b.members)
		if b.left--; b.left == 0 {
			bs.drop()
		}
		if member != b.except {
			return b.queue, member, true
		}
	}
	return nil, sip.AoR{}, false
}

// drop removes the first broadcast.
func (bs *broadcasts) drop() {
	delete(bs.byStart, &bs.list[0].members[0])
	if bs.list = bs.list[1:]; len(bs.list) == 0 {
		bs.list = nil
	}
}
