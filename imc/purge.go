package imc

import (
	"context"
	"log/slog"
	"time"

	"silod/sip"
)

// Old entries are deleted in small steps with pauses, because an engine with one writer
// blocks all other writes meanwhile.
const (
	purgeBatch = 150 // rows deleted in one transaction
	purgePage  = 500 // positions that are read at once
	purgePause = 6 * time.Millisecond
)

// A purge is the progress of the deletion of entries. It passes over the log of all rooms
// once, in the order of Seq. Of the entries that it keeps, because a member has not got them,
// it remembers the first one of each room, and looks at that room again when all members
// have that entry. So it reads no entry again in vain, however many are kept.
type purge struct {
	passed int64               // all entries up to this Seq have been examined
	kept   map[*room]*Position // the first entry that was kept
}

// sweep deletes entries that are older than History. An entry that a member may still get is
// kept even if CatchUp is longer than History.
func (s *Service) sweep(ctx context.Context) {
	now, c := s.now(), s.config()
	err := s.purgeExpired(ctx, now.Add(-max(c.History, c.CatchUp)))
	if err == nil {
		err = s.purgeNew(ctx, now.Add(-c.History))
	}
	if err == nil {
		err = s.purgeKept(ctx, now.Add(-c.History))
	}
	if err != nil && ctx.Err() == nil {
		s.stats.StoreErrors.Add(1)
		s.log.Error("old room entries not deleted", slog.Any("error", err))
	}
}

// purgeExpired deletes the entries that are too old for every member.
func (s *Service) purgeExpired(ctx context.Context, before time.Time) error {
	var from time.Time
	for {
		ps, err := s.positions(ctx, func(ctx context.Context) ([]Position, error) {
			return s.store.Oldest(ctx, from, before, purgeBatch)
		})
		if err == nil {
			err = s.deleteEntries(ctx, seqsOf(ps))
		}
		if err != nil || len(ps) < purgeBatch {
			return err
		}
		from = ps[len(ps)-1].At
	}
}

// purgeNew examines the entries older than before that no earlier call has examined.
func (s *Service) purgeNew(ctx context.Context, before time.Time) error {
	sctx, cancel := storeContext(ctx)
	bound, err := s.store.LastBefore(sctx, before)
	cancel()
	if err != nil {
		return err
	}
	for s.purge.passed < bound {
		ps, err := s.positions(ctx, func(ctx context.Context) ([]Position, error) {
			return s.store.Positions(ctx, sip.AoR{}, s.purge.passed, purgePage)
		})
		if err != nil {
			return err
		}
		full := len(ps) == purgePage
		for len(ps) > 0 && ps[len(ps)-1].Seq > bound {
			ps = ps[:len(ps)-1]
		}
		if len(ps) > 0 {
			if err := s.deleteEntries(ctx, s.purgeable(ps, before)); err != nil {
				return err
			}
			s.purge.passed = ps[len(ps)-1].Seq
		}
		if !full || len(ps) == 0 {
			s.purge.passed = max(s.purge.passed, bound)
		}
	}
	return nil
}

// purgeable returns the Seqs of the entries that all members have, and remembers the first of
// the other ones of each room. Entries of earlier rooms of a name are left to eraseClosed and
// purgeExpired, and so are those of unknown rooms.
func (s *Service) purgeable(ps []Position, before time.Time) []int64 {
	var seqs []int64
	floors := map[*room]int64{}
	for i := range ps {
		p := &ps[i]
		r := s.roomNamed(p.Room, false)
		if r == nil {
			continue
		}
		floor, known := floors[r]
		if !known {
			floor = r.deliveredTo(p.Room)
			floors[r] = floor
		}
		switch {
		case p.Seq <= r.base || floor < 0:
		case p.Seq <= floor && p.At.Before(before):
			seqs = append(seqs, p.Seq)
		case s.purge.kept[r] == nil:
			kept := *p
			s.purge.kept[r] = &kept
		}
	}
	return seqs
}

// purgeKept deletes entries that were kept before and that all members have now.
func (s *Service) purgeKept(ctx context.Context, before time.Time) error {
	for r, kept := range s.purge.kept {
		for r.deliveredTo(kept.Room) >= kept.Seq && kept.At.Before(before) {
			if err := s.purgeRoom(ctx, r, kept, before); err != nil {
				return err
			}
		}
		if s.roomNamed(r.storedAoR(), false) != r {
			delete(s.purge.kept, r) // erased
		}
	}
	return nil
}

// purgeRoom deletes entries of a room from a kept one on, and moves kept to the next entry
// that is kept.
func (s *Service) purgeRoom(ctx context.Context, r *room, kept *Position, before time.Time) error {
	ps, err := s.positions(ctx, func(ctx context.Context) ([]Position, error) {
		return s.store.Positions(ctx, kept.Room, kept.Seq-1, purgeBatch)
	})
	if err != nil {
		return err
	}
	floor := r.deliveredTo(kept.Room)
	n := 0
	for n < len(ps) && ps[n].Seq <= min(floor, s.purge.passed) && ps[n].At.Before(before) {
		n++
	}
	if err := s.deleteEntries(ctx, seqsOf(ps[:n])); err != nil {
		return err
	}
	switch {
	case n < len(ps) && ps[n].Seq <= s.purge.passed:
		*kept = ps[n]
	case n == purgeBatch:
		kept.Seq = ps[n-1].Seq + 1
		if kept.Seq > s.purge.passed {
			s.forgetKept(r, kept)
		}
	default: // purgeNew examines the others
		s.forgetKept(r, kept)
	}
	return nil
}

// forgetKept ends the examination of a room by purgeKept.
func (s *Service) forgetKept(r *room, kept *Position) {
	delete(s.purge.kept, r)
	kept.Seq = 1<<63 - 1
}

// deliveredTo returns the Seq up to which all members have the entries of a room, or -1 if
// its entries are not those under that name.
func (r *room) deliveredTo(log sip.AoR) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stored || r.log != log {
		return -1
	}
	floor := r.last
	for _, m := range r.members {
		if m.joined() {
			floor = min(floor, m.Cursor)
		}
	}
	return floor
}

// positions calls a method of the Store.
func (s *Service) positions(ctx context.Context, read func(context.Context) ([]Position, error)) ([]Position, error) {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	return read(ctx)
}

func seqsOf(ps []Position) []int64 {
	seqs := make([]int64, len(ps))
	for i, p := range ps {
		seqs[i] = p.Seq
	}
	return seqs
}

// deleteEntries deletes entries step by step. Without entries it only pauses.
func (s *Service) deleteEntries(ctx context.Context, seqs []int64) error {
	for {
		n := min(len(seqs), purgeBatch)
		begin := time.Now()
		if n > 0 {
			sctx, cancel := storeContext(ctx)
			err := s.store.DeleteEntries(sctx, seqs[:n])
			cancel()
			if err != nil {
				return err
			}
		}
		if err := pauseAfter(ctx, begin); err != nil {
			return err
		}
		if seqs = seqs[n:]; len(seqs) == 0 {
			return nil
		}
	}
}

// pauseAfter waits for twice the duration of a step, so that a busy database has time for
// others. Its error is that of ctx.
func pauseAfter(ctx context.Context, begin time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(max(purgePause, 2*time.Since(begin)), time.Second)):
		return nil
	}
}
