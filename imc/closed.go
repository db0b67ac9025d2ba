package imc

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/sip"
)

// A room that was destroyed is closed: it does not exist for users, but stays in the
// store until all members have its remaining entries. Its name may be given to a new
// room meanwhile. Then the closed room and its members are moved aside, to another name.
// Its log may be large and stays: the entries of a room of the name are those above its
// base, the Seq of the last entry of the room before.

// asidePrefix begins the user part under which a closed room is stored after its name
// has been given to another room; the Seq of its last entry follows.
const asidePrefix = "~"

// asideName returns the AoR of a closed room that is moved aside.
func asideName(name sip.AoR, last int64) sip.AoR {
	return sip.AoR{User: asidePrefix + strconv.FormatInt(last, 36), Domain: name.Domain}
}

// asideLast returns the Seq in the AoR of a closed room that was moved aside, 0 for others.
func asideLast(a sip.AoR) int64 {
	if !isAside(a) {
		return 0
	}
	last, _ := strconv.ParseInt(a.User[len(asidePrefix):], 36, 64)
	return last
}

// isAside reports whether an AoR can be that of a room that was moved aside.
func isAside(a sip.AoR) bool { return strings.HasPrefix(a.User, asidePrefix) }

// close destroys a room; last is its last entry, which all members get, the owner
// included.
func (s *Service) close(ctx context.Context, r *room, last *Entry) error {
	closed := r.Room
	closed.Closed = true
	return s.commit(ctx, r, Change{Room: closed, Notice: last})
}

// moveAside makes the name of a closed room available. The closed room is stored
// under an AoR that no other room can have, with its name in the topic, which it
// needs no longer. It is copied first. Then its members get the entries from the copy, and a
// room without members stands for the rows that are left to erase: the next call does that, or
// eraseClosed. If the daemon ends earlier, findBases completes the move. The caller holds
// r.stateMu exclusively.
func (s *Service) moveAside(ctx context.Context, r *room) error {
	if r.last == r.base { // all members have all entries
		for {
			if done, err := s.eraseStep(ctx, r); err != nil || done {
				return err
			}
		}
	}
	rest, next := newRoom(r.name), r.Room
	next.AoR, next.Topic = asideName(r.name, r.last), r.name.User
	r.mu.Lock()
	members := r.copies()
	r.mu.Unlock()
	for n := len(r.copied); n < len(members); n = len(r.copied) { // the next call continues after an error
		some := members[n:min(n+purgeBatch, len(members))]
		if err := s.putCopies(ctx, next, some); err != nil {
			return err
		}
		r.copied = append(r.copied, some...)
	}
	rest.Room, rest.stored = r.Room, true
	rest.base, rest.last, rest.tailFrom, rest.erased = r.last, r.last, r.last, r.last
	s.mu.Lock()
	s.rooms[rest.AoR], s.rooms[next.AoR] = rest, r
	s.ends[r.log] = max(s.ends[r.log], r.last)
	s.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Room = next
	for i := range r.copied { // the copy may lack the last moves of their cursors
		if m := r.find(r.copied[i].User); m.Cursor > r.copied[i].Cursor {
			s.cursors.add(r, m)
		}
	}
	r.copied = nil
	return nil
}

// putCopies stores members of a room that moves aside.
func (s *Service) putCopies(ctx context.Context, aside Room, members []Member) error {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	if err := s.store.Apply(ctx, Change{Room: aside, Put: members}); err != nil {
		return fmt.Errorf("move closed room %s: %w", publicName(aside), err)
	}
	return nil
}

// publicName returns the name under which users know a stored room.
func publicName(stored Room) sip.AoR {
	if stored.Closed && isAside(stored.AoR) && stored.Topic != "" {
		return sip.AoR{User: stored.Topic, Domain: stored.AoR.Domain}
	}
	return stored.AoR
}

// eraseClosed deletes the entries of closed rooms that all members have, and the rooms in
// which no member waits for entries any more.
func (s *Service) eraseClosed(ctx context.Context) {
	for _, r := range s.allRooms() {
		if err := s.purgeClosed(ctx, r); err != nil && ctx.Err() == nil {
			s.stats.StoreErrors.Add(1)
			s.log.Error("destroyed room not deleted", slog.Any("error", err))
			return
		}
	}
}

// purgeClosed deletes a closed room when no member waits for its entries any more:
// all have them, or the entries are older than CatchUp. Before, it deletes those that all
// have. The room itself follows at the next call: a cursor that is written now would come back as
// a row without a room.
func (s *Service) purgeClosed(ctx context.Context, r *room) error {
	r.mu.Lock()
	closed, last, known := r.stored && r.Closed, r.last, !r.lastAt.IsZero()
	r.mu.Unlock()
	if !closed {
		return nil
	}
	floor := r.deliveredTo(r.log)
	if floor < last && !known {
		if err := s.findEnd(ctx, r); err != nil {
			return err
		}
	}
	r.mu.Lock()
	waiting := !r.givenUp.Load() && floor < last && s.now().Sub(r.lastAt) < s.config().CatchUp
	r.mu.Unlock()
	if !waiting {
		floor = last
	}
	if floor > r.erased {
		if err := s.eraseLog(ctx, r, floor); err != nil {
			return err
		}
		r.erased = floor
		return nil
	}
	if waiting {
		return nil
	}
	return s.eraseRoom(ctx, r)
}

// findEnd reads the time of the last entry of a room.
func (s *Service) findEnd(ctx context.Context, r *room) error {
	ps, err := s.positions(ctx, func(ctx context.Context) ([]Position, error) {
		return s.store.Positions(ctx, r.log, r.last-1, 1)
	})
	if err != nil || len(ps) == 0 || ps[0].Seq != r.last {
		return err
	}
	r.mu.Lock()
	r.lastAt = ps[0].At
	r.mu.Unlock()
	return nil
}

// eraseLog deletes the entries of a closed room up to a Seq.
func (s *Service) eraseLog(ctx context.Context, r *room, upTo int64) error {
	for after := max(r.base, r.erased); ; {
		ps, err := s.positions(ctx, func(ctx context.Context) ([]Position, error) {
			return s.store.Positions(ctx, r.log, after, purgeBatch)
		})
		if err != nil {
			return err
		}
		n := 0
		for n < len(ps) && ps[n].Seq <= upTo {
			n++
		}
		if n == 0 {
			return nil
		}
		if err := s.deleteEntries(ctx, seqsOf(ps[:n])); err != nil {
			return err
		}
		if after = ps[n-1].Seq; n < purgeBatch {
			return nil
		}
	}
}

// eraseRoom deletes a closed room without entries from the store, step by step, and then from
// memory. Between two steps it can be moved aside.
func (s *Service) eraseRoom(ctx context.Context, r *room) error {
	for {
		begin := time.Now()
		done, err := s.eraseLocked(ctx, r)
		if err != nil || done {
			return err
		}
		if err := pauseAfter(ctx, begin); err != nil {
			return err
		}
	}
}

// eraseLocked is one step of eraseRoom.
func (s *Service) eraseLocked(ctx context.Context, r *room) (done bool, err error) {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if r.removed || !r.Closed {
		return true, nil
	}
	return s.eraseStep(ctx, r)
}

// eraseStep deletes some of the rows of a closed room from the store, and with the last ones the
// room from memory. Before, it stores the members that its copy lacks. The caller holds r.stateMu
// exclusively.
func (s *Service) eraseStep(ctx context.Context, r *room) (done bool, err error) {
	if len(r.uncopied) > 0 {
		return false, s.copyRest(ctx, r)
	}
	stored := r.AoR
	if r.copied != nil { // a copy that ended early
		r.copied, stored = r.copied[:0], asideName(r.name, r.last)
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	if done, err = s.store.Erase(ctx, stored, purgeBatch); err != nil {
		return false, fmt.Errorf("delete room %s: %w", stored, err)
	}
	switch {
	case done && r.copied != nil:
		r.copied = nil
		return false, nil
	case done:
		s.forget(r)
	}
	return done, nil
}

// copyRest stores some of the members that the copy of a closed room lacks.
func (s *Service) copyRest(ctx context.Context, r *room) error {
	r.copy.stateMu.Lock()
	defer r.copy.stateMu.Unlock()
	if r.copy.removed {
		r.uncopied = nil
		return nil
	}
	n := min(purgeBatch, len(r.uncopied))
	if err := s.putCopies(ctx, r.copy.Room, r.uncopied[:n]); err != nil {
		return err
	}
	r.uncopied = r.uncopied[n:]
	return nil
}

// forget deletes a closed room from memory. The caller holds r.stateMu exclusively.
func (s *Service) forget(r *room) {
	var users []sip.AoR
	for _, m := range r.members {
		if m.joined() {
			users = append(users, m.User)
		}
	}
	s.removeMemberships(r, users)
	r.mu.Lock()
	before := r.tailSize
	r.trim(time.Time{}, 0)
	s.tailBytes.Add(int64(r.tailSize - before))
	r.members, r.index = nil, nil // no cursor is written any more
	r.mu.Unlock()
	s.removeRoom(r)
	s.mu.Lock()
	s.closed.remove(r)
	switch {
	case s.ends[r.log] != r.last:
	case r.base > 0: // the room before may have entries still
		s.ends[r.log] = r.base
	default:
		delete(s.ends, r.log)
	}
	s.mu.Unlock()
}

// findBases sets the bases of the rooms with a name that closed rooms had before, and of
// those closed rooms. The caller is Load.
func (s *Service) findBases() {
	var aside []*room
	for _, r := range s.rooms {
		last := asideLast(r.AoR)
		if last == 0 || r.last != 0 { // an older silod moved logs, too
			continue
		}
		r.log, r.last, r.tailFrom = r.name, last, last
		aside = append(aside, r)
	}
	slices.SortFunc(aside, func(a, b *room) int { return cmp.Compare(a.last, b.last) })
	bases := map[sip.AoR]int64{}
	for _, r := range aside {
		r.base, bases[r.log] = bases[r.log], r.last
		s.ends[r.log] = max(s.ends[r.log], r.last)
	}
	for _, r := range aside {
		now := s.rooms[r.name]
		if now == nil {
			continue
		}
		if now.Closed && now.last == r.last && now.Created.Equal(r.Created) { // r is a copy of it, see moveAside
			s.completeCopy(r, now)
		}
		now.base = max(now.base, r.last)
		now.last = max(now.last, now.base)
		now.tailFrom, now.erased = now.last, now.base
	}
}

// completeCopy adds to a copy of a closed room the members that it lacks, and moves its cursors to
// those of the room. Nothing is delivered from the room itself any more. Its rows are erased after
// the copy is complete in the store, too.
func (s *Service) completeCopy(aside, r *room) {
	var missing []Member
	for _, m := range r.members {
		switch c := aside.find(m.User); {
		case c == nil:
			missing = append(missing, m.Member)
			if m.joined() {
				x := s.userRecord(m.User)
				x.rooms = append(x.rooms, aside)
			}
		case m.Cursor > c.Cursor:
			c.Cursor = m.Cursor
			s.cursors.add(aside, c)
		}
		m.Cursor = r.last
	}
	r.copy, r.uncopied = aside, missing
	aside.apply(&Change{Room: aside.Room, Put: missing})
}
