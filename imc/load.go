package imc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"silod/sip"
)

// Load reads all rooms from the Store. It must be called once, before any other
// method and before the listeners open, so that no message finds its room missing. A
// row that cannot be read is logged and skipped; an error means that the Store cannot
// be read.
func (s *Service) Load(ctx context.Context) error {
	var rooms []*room
	domains := make(map[string]string) // one copy of each in memory
	err := s.store.Load(ctx, func(room Room, members []Member) {
		for i := range members {
			d := members[i].User.Domain
			if _, known := domains[d]; !known {
				domains[d] = d
			}
			members[i].User.Domain = domains[d]
		}
		if r := s.restoreRoom(room, members); r != nil {
			rooms = append(rooms, r)
		}
	}, func(err error) {
		s.log.Warn("stored room or member not readable and skipped", slog.Any("error", err))
	})
	if err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	err = s.store.Blocks(ctx, func(user, target sip.AoR) { s.blocks.set(user, target, true) }, func(err error) {
		s.log.Warn("stored block not readable and skipped", slog.Any("error", err))
	})
	if err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	s.public.sort()
	s.private.sort()
	err = s.store.Ends(ctx, func(name sip.AoR, last int64) {
		if r := s.rooms[name]; r != nil {
			r.last, r.tailFrom = last, last
			r.unread.Store(true)
		} else {
			s.ends[name] = last
		}
	})
	if err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	s.findBases()
	s.loadClosed()
	for _, r := range rooms {
		for _, m := range r.members {
			if m.Seen.IsZero() && m.Cursor == 0 { // a row of another program: only new entries are delivered
				m.Cursor = r.last
			}
			if m.joined() && m.Cursor < r.last && s.isAway(m.User) {
				m.away.Store(true)
			}
		}
	}
	s.loadedAt = s.now()
	s.log.Debug("rooms loaded", slog.Int("rooms", s.active), slog.Int("users", len(s.users)))
	return nil
}

// loadTail reads the newest entries of a room's log if they may be recent: isRepeat needs
// them for a sender that got no answer before the daemon stopped. They are read when the
// first message to the room arrives: to read them for every room would delay the start.
func (s *Service) loadTail(ctx context.Context, r *room) error {
	if !r.unread.Load() {
		return nil
	}
	if s.now().Sub(s.loadedAt) >= maxTailAge {
		r.unread.Store(false)
		return nil
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	newest, err := s.store.Recent(ctx, r.log, r.base, s.now().Add(-maxTailAge), maxTailEntries)
	if err != nil {
		return fmt.Errorf("read the log of %s: %w", r.name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.unread.CompareAndSwap(true, false) {
		return nil
	}
	if posts := s.composeAll(r, newest, r.tailFrom); len(posts) > 0 {
		before := r.tailSize
		r.tail, r.tailFrom = append(posts, r.tail...), posts[0].seq-1
		for _, p := range posts {
			r.tailSize += p.size()
		}
		s.trim(r, before)
	}
	return nil
}

// restoreRoom adds a stored room, and returns nil if it must be skipped. Rows of other
// programs may lack an owner or members, which our own never do. A room without
// members stays in the Store, because the rows of its members may only be unreadable. Of a
// closed room invited users may be left, where its deletion has ended early.
func (s *Service) restoreRoom(stored Room, members []Member) *room {
	name := stored.AoR.Lower()
	log := s.log.With(slog.String("room", name.String()))
	if s.rooms[name] != nil {
		log.Warn("room stored twice, second row skipped")
		return nil
	}
	stored.AoR = name
	r := newRoom(publicName(stored))
	members = slices.DeleteFunc(slices.Clone(members), func(m Member) bool {
		bad := m.User.User == "" || m.User.Domain == "" || m.Role < Invited || m.Role > Former
		if bad {
			log.Warn("stored member not readable and skipped", slog.String("user", m.User.String()), slog.String("role", m.Role.String()))
		}
		return bad
	})
	// Of several owners the first stays the owner.
	owners := 0
	for i := range members {
		if members[i].Role == Owner {
			if owners++; owners > 1 {
				members[i].Role = Admin
			}
		}
	}
	r.apply(&Change{Room: stored, Put: members})
	if r.joined == 0 && (!r.Closed || len(r.members) == 0) {
		log.Warn("stored room without members skipped")
		return nil
	}
	if owners == 0 && !r.Closed {
		r.find(r.membersByRole()[0].User).Role = Owner
		log.Warn("stored room without owner, member with the highest role is the owner now")
	}
	if !s.domains.Has(name.Domain) {
		log.Warn("domain of stored room not served")
	}
	s.rooms[name] = r
	if l := s.listing(r); l != nil {
		s.active++
		*l = append(*l, r)
	}
	for _, m := range r.members {
		if m.Role == Invited && !r.Closed {
			s.invited[m.User] = append(s.invited[m.User], r)
		}
		if !m.joined() {
			continue
		}
		x := s.userRecord(m.User)
		x.rooms = append(x.rooms, r)
	}
	if !r.Closed {
		seats := make(map[sip.AoR]seatChange)
		for _, m := range r.members {
			charge(seats, r, &m.Member, 1)
		}
		s.take(seats)
		s.addCreated(r.Creator, 1)
	}
	return r
}
