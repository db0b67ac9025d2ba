package imc

import "silod/sip"

// lockRoom finds a room and takes its state lock as access requires. It returns nil
// if the room does not exist; for access creating it returns a new room instead,
// which is not stored yet.
func (s *Service) lockRoom(name sip.AoR, a access) *room {
	for {
		r := s.roomNamed(name, a == creating)
		if r == nil {
			return nil
		}
		if a == shared {
			r.stateMu.RLock()
		} else {
			r.stateMu.Lock()
		}
		current := !r.removed && r.AoR == name
		if current && (r.exists() || a == creating) {
			return r
		}
		s.unlockRoom(r, a)
		if current {
			return nil
		}
	}
}

// unlockRoom releases the state lock, and removes a room that lockRoom added and that
// was not created.
func (s *Service) unlockRoom(r *room, a access) {
	if a == shared {
		r.stateMu.RUnlock()
		return
	}
	if !r.stored && !r.removed {
		s.removeRoom(r)
	}
	r.stateMu.Unlock()
}

// roomNamed returns the room of a name; with add, a missing one is added.
func (s *Service) roomNamed(name sip.AoR, add bool) *room {
	s.mu.RLock()
	r := s.rooms[name]
	s.mu.RUnlock()
	if r != nil || !add {
		return r
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r = s.rooms[name]; r == nil { // not added meanwhile
		r = newRoom(name)
		r.base = s.ends[name]
		r.last, r.tailFrom, r.erased = r.base, r.base, r.base
		s.rooms[name] = r
	}
	return r
}

// removeRoom deletes a room from the map. The caller holds r.stateMu exclusively.
func (s *Service) removeRoom(r *room) {
	r.removed = true
	s.mu.Lock()
	delete(s.rooms, r.AoR)
	s.mu.Unlock()
}

// allRooms returns all rooms in no particular order.
func (s *Service) allRooms() []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}
