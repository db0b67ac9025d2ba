package imc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Load reads all rooms. It is called once, before anything else is: before the
// listeners open, so that no message can come for a room that is not there yet. A row
// that cannot be read is reported and passed over; a store that cannot be read is
// an error.
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
		if r := s.revive(room, members); r != nil {
			rooms = append(rooms, r)
		}
	}, func(err error) {
		s.log.Warn("a stored room or member cannot be read and is passed over", slog.Any("error", err))
	})
	if err != nil {
		return fmt.Errorf("load rooms: %w", err)
	}
	for _, r := range rooms {
		if err := s.recallTail(ctx, r); err != nil {
			return fmt.Errorf("load the log of room %s: %w", r.name, err)
		}
		for _, m := range r.members {
			if m.Seen.IsZero() && m.Cursor == 0 { // somebody else wrote this row: owed is what comes
				m.Cursor = r.last
			}
		}
	}
	s.log.Debug("rooms loaded", slog.Int("rooms", s.live), slog.Int("users", len(s.users)))
	return nil
}

// recallTail finds out how far a room's log goes, and remembers what was said just
// now: a sender who has had no answer from the daemon that died says it again.
func (s *Service) recallTail(ctx context.Context, r *room) error {
	newest, err := s.store.Recent(ctx, r.AoR, time.Time{}, 1)
	if err != nil || len(newest) == 0 {
		return err
	}
	r.last, r.lastAt, r.tailFrom = newest[0].Seq, newest[0].At, newest[0].Seq
	if s.now().Sub(r.lastAt) >= tailAge {
		return nil
	}
	if newest, err = s.store.Recent(ctx, r.AoR, time.Time{}, tailEntries); err != nil || len(newest) == 0 {
		return err
	}
	r.tail = s.composeAll(r, newest, r.last)
	r.tailFrom = r.tail[0].seq - 1
	for _, p := range r.tail {
		r.tailSize += p.size()
	}
	s.trim(r, 0)
	return nil
}

// revive makes a room of what was stored, nil where it cannot be one. Rows that
// other programs wrote may lack what our own never do: an owner, or members. A room
// without members is left alone in the store, because its members may only be
// unreadable.
func (s *Service) revive(stored Room, members []Member) *room {
	name := roomName(stored.AoR)
	log := s.log.With(slog.String("room", name.String()))
	if s.rooms[name] != nil {
		log.Warn("a stored room is there twice and the second is passed over")
		return nil
	}
	stored.AoR = name
	r := newRoom(publicName(stored))
	// The first owner stays the owner.
	members = slices.Clone(members)
	owners := 0
	for i := range members {
		if members[i].Role == Owner {
			if owners++; owners > 1 {
				members[i].Role = Admin
			}
		}
	}
	r.apply(&Change{Room: stored, Put: members})
	if r.seated == 0 {
		log.Warn("a stored room has no members and is passed over")
		return nil
	}
	if heir := r.seatedFirst()[0].User; owners == 0 {
		r.index[heir].Role = Owner
		log.Warn("a stored room has no owner: the highest member takes it")
	}
	if !s.domains.Has(name.Domain) {
		log.Warn("a stored room is of a domain that is not served")
	}
	s.rooms[name] = r
	if !r.Closed {
		s.live++
	}
	for _, m := range r.members {
		if !m.seated() {
			continue
		}
		x := s.entry(m.User)
		x.rooms = append(x.rooms, r)
		if !r.Closed {
			x.seats++
		}
	}
	return r
}
