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

// broadcasts are the broadcasts in progress, which take turns. scheduler.mu guards them.
type broadcasts struct {
	list    []*broadcast
	byStart map[*sip.AoR]*broadcast // by the address of the first member: the same list has the same one
}

// WakeAll is Wake for all members of a room but one, the zero AoR for no exception. It takes
// as long for thousands as for one. The caller must not change the list any more.
func (q *Queue) WakeAll(room sip.AoR, members []sip.AoR, except sip.AoR) {
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

func (s *scheduler) wakeAll(room sip.AoR, b broadcast) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped && s.broadcasts.add(b, s.groups, room) {
		s.notify()
	}
}

// add adds a broadcast and reports true. If a broadcast to the same list is in progress,
// add reports false and has that one wake every member once more, from where it is.
func (bs *broadcasts) add(b broadcast, gs groups, room groupName) bool {
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
	added.group = gs.get(room)
	added.group.broadcasts++
	bs.list = append(bs.list, &added)
	bs.byStart[start] = &added
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
		b.group.broadcasts--
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
		r.turn.group = b.group
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
	delete(bs.byStart, &bs.list[0].members[0])
	if bs.list = bs.list[1:]; len(bs.list) == 0 {
		bs.list = nil
	}
}
