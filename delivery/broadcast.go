package delivery

import "silod/sip"

// A broadcast wakes the members of a room. Prompt ones are served after recipients that
// are woken one by one, so that a personal message does not wait for thousands of them.
type broadcast struct {
	queue   *Queue
	group   *group
	members []sip.AoR
	except  sip.AoR // not woken
	next    int     // index of the next member, 0 after the last one
	left    int     // members still to be woken
}

// broadcasts are the broadcasts in progress, one of each room, which take turns.
// scheduler.mu guards them.
type broadcasts struct{ list []*broadcast }

// WakeAll is Wake for all members of a room but one, the zero AoR for no exception. It takes
// as long for thousands as for one. room identifies the room, and the list has all its
// members. The caller must not change the list any more.
func (q *Queue) WakeAll(room any, members []sip.AoR, except sip.AoR) {
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
	q.engine.scheduler.wakeAll(room, broadcast{queue: q, members: members, except: except, left: len(members)})
}

func (s *scheduler) wakeAll(room any, b broadcast) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && s.broadcasts.add(b, s.groups.get(groupName{room: room})) {
		s.notify()
	}
}

// add adds a broadcast to a group and reports true. If one is in progress, add reports false
// and has that one wake every member of the new list, from where it is.
func (bs *broadcasts) add(b broadcast, g *group) bool {
	if c := g.broadcast; c != nil && c.queue == b.queue {
		c.members, c.next, c.left = b.members, c.next%len(b.members), len(b.members)
		if c.except != b.except {
			c.except = sip.AoR{}
		}
		return false
	}
	b.group = g
	g.broadcast = &b
	bs.list = append(bs.list, &b)
	return true
}

// expand wakes the next member of a broadcast. It reports false if there is none, or if prompt
// members of each room wait already. s.mu is held.
func (s *scheduler) expand() bool {
	for range s.broadcasts.list {
		b := s.broadcasts.list[0]
		if !b.group.waiting[prompt].empty() {
			s.broadcasts.rotate()
			continue
		}
		member := b.members[b.next]
		b.next = (b.next + 1) % len(b.members)
		if member != b.except {
			s.wakeMember(b, recipientKey{AoR: member})
		}
		if b.left--; b.left > 0 {
			s.broadcasts.rotate()
			return true
		}
		s.broadcasts.drop()
		b.group.broadcast = nil
		s.groups.drop(b.group)
		return true
	}
	return false
}

// wakeMember is wake for a member of a room. s.mu is held.
func (s *scheduler) wakeMember(b *broadcast, k recipientKey) {
	r := s.recipients[k]
	if s.active >= maxRecipients && (r == nil || r.state == idle && r.class != prompt) {
		s.missed = true
		return
	}
	if r == nil {
		r = s.recipient(k)
	}
	if r.state == idle {
		r.place.group = b.group
	}
	s.apply(r, r.wake(b.queue.bit))
}

// rotate makes the first broadcast the last one.
func (bs *broadcasts) rotate() {
	if len(bs.list) > 1 {
		bs.list = append(bs.list[1:], bs.list[0])
	}
}

// drop removes the first broadcast.
func (bs *broadcasts) drop() {
	if bs.list = bs.list[1:]; len(bs.list) == 0 {
		bs.list = nil
	}
}
