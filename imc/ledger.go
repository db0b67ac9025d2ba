package imc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"silod/address"
)

// ledger remembers whose cursors have moved, until they are written. That is done
// lazily and in batches: a cursor that a crash loses makes a message go out again
// with the Call-ID that it had.
type ledger struct {
	mu      sync.Mutex
	places  []place
	resumed []place // members whose pause is over
}

// place is a member in a room.
type place struct {
	room   *room
	member *member
}

const (
	flushEvery = time.Second
	flushBatch = 500 // cursors that are written in one transaction
)

// note enters a member whose cursor has moved. The caller holds room.mu.
func (l *ledger) note(r *room, m *member) {
	if m.noted {
		return
	}
	m.noted = true
	l.mu.Lock()
	l.places = append(l.places, place{r, m})
	l.mu.Unlock()
}

// resume enters a member whose pause is over.
func (l *ledger) resume(r *room, m *member) {
	l.mu.Lock()
	l.resumed = append(l.resumed, place{r, m})
	l.mu.Unlock()
}

// Flush writes the cursors that have moved; Run does so every second. Those that
// cannot be written are noted again. To be called once more when nothing is
// delivered any longer.
func (s *Service) Flush(ctx context.Context) error {
	l := &s.ledger
	l.mu.Lock()
	places, resumed := l.places, l.resumed
	l.places, l.resumed = nil, nil
	l.mu.Unlock()

	var failed error
	for _, p := range resumed {
		if err := s.setPaused(ctx, p.room, []address.AoR{p.member.User}, false); err != nil {
			l.resume(p.room, p.member)
			failed = errors.Join(failed, err)
		}
	}
	for len(places) > 0 {
		n := min(len(places), flushBatch)
		if err := s.saveCursors(ctx, places[:n]); err != nil {
			failed = errors.Join(failed, err)
		}
		places = places[n:]
	}
	return failed
}

func (s *Service) saveCursors(ctx context.Context, places []place) error {
	cs := make([]Cursor, 0, len(places))
	for _, p := range places {
		p.room.mu.Lock()
		p.member.noted = false
		if p.room.index[p.member.User] == p.member { // not taken out meanwhile
			cs = append(cs, Cursor{Room: p.room.name, User: p.member.User, Seq: p.member.Cursor, Seen: p.member.Seen})
		}
		p.room.mu.Unlock()
	}
	if len(cs) == 0 {
		return nil
	}
	ctx, cancel := storing(ctx)
	defer cancel()
	err := s.store.SaveCursors(ctx, cs)
	if err == nil {
		return nil
	}
	s.stats.StoreErrors.Add(1)
	for _, p := range places {
		p.room.mu.Lock()
		s.ledger.note(p.room, p.member)
		p.room.mu.Unlock()
	}
	return fmt.Errorf("save the places of %d members: %w", len(cs), err)
}
