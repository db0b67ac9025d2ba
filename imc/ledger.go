package imc

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"silod/sip"
)

// ledger remembers whose cursors have moved, until they are written. That is done
// lazily and in batches: a cursor that a crash loses makes a message go out again
// with the Call-ID that it had.
type ledger struct {
	due chan struct{} // has an element when something was entered since it was last read

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
	flushAfter = 500 * time.Millisecond // from the first cursor that moves
	flushRetry = 2 * time.Second        // when the store has failed
	flushBatch = 500                    // cursors that are written at once: a room of thousands must not fill the store with them
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
	l.signal()
}

func (l *ledger) signal() {
	select {
	case l.due <- struct{}{}:
	default:
	}
}

// resume enters a member whose pause is over.
func (l *ledger) resume(r *room, m *member) {
	l.mu.Lock()
	l.resumed = append(l.resumed, place{r, m})
	l.mu.Unlock()
	l.signal()
}

// take gives what is to be written next: so many cursors, and every ended pause.
func (l *ledger) take(most int) (places, resumed []place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(most, len(l.places))
	places, resumed = l.places[:n:n], l.resumed
	l.places, l.resumed = l.places[n:], nil
	if len(l.places) == 0 {
		l.places = nil // the array goes, and is made anew when there is something
	} else {
		l.signal()
	}
	return places, resumed
}

// Flush writes all cursors that have moved. Run does so too, now and at its end;
// Flush is for those that move after that, when deliveries end last.
func (s *Service) Flush(ctx context.Context) error { return s.write(ctx, math.MaxInt) }

// write writes so many cursors. Those that cannot be written are noted again.
func (s *Service) write(ctx context.Context, most int) error {
	places, resumed := s.ledger.take(most)
	var failed error
	for _, p := range resumed {
		if err := s.setPaused(ctx, p.room, []sip.AoR{p.member.User}, false); err != nil {
			s.ledger.resume(p.room, p.member)
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
			cs = append(cs, Cursor{Room: p.room.AoR, User: p.member.User, Seq: p.member.Cursor, Seen: p.member.Seen})
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
