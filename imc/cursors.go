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

// A cursorWriter collects the members with a moved cursor until the cursors are written.
// They are written late and in batches: if a crash loses one, the message is sent again
// with the same Call-ID.
type cursorWriter struct {
	ready chan struct{} // has an element when something was added since it was last read

	mu      sync.Mutex
	moved   []cursorRef
	resumed []cursorRef // members with an ended pause
}

// A cursorRef is a member of a room.
type cursorRef struct {
	room   *room
	member *member
}

// The times at which cursors are written.
const (
	flushAfter = 500 * time.Millisecond // after the first cursor that moves
	flushRetry = 2 * time.Second        // after an error of the Store
	flushBatch = 500                    // cursors in one call, so that large rooms do not keep the Store busy
)

// add queues a member with a moved cursor. The caller holds room.mu.
func (w *cursorWriter) add(r *room, m *member) {
	if m.cursorQueued {
		return
	}
	m.cursorQueued = true
	w.mu.Lock()
	w.moved = append(w.moved, cursorRef{r, m})
	w.mu.Unlock()
	w.signal()
}

func (w *cursorWriter) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

// addResumed queues a member with an ended pause.
func (w *cursorWriter) addResumed(r *room, m *member) {
	w.mu.Lock()
	w.resumed = append(w.resumed, cursorRef{r, m})
	w.mu.Unlock()
	w.signal()
}

// take removes and returns at most limit members with a moved cursor, and all members
// with an ended pause.
func (w *cursorWriter) take(limit int) (moved, resumed []cursorRef) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(limit, len(w.moved))
	moved, resumed = w.moved[:n:n], w.resumed
	w.moved, w.resumed = w.moved[n:], nil
	if len(w.moved) == 0 {
		w.moved = nil // frees the array
	} else {
		w.signal()
	}
	return moved, resumed
}

// Flush writes all cursors that have moved. Run writes them too, also when it ends;
// Flush is for those that move afterwards, when deliveries end last.
func (s *Service) Flush(ctx context.Context) error { return s.writeCursors(ctx, math.MaxInt) }

// writeCursors writes at most limit cursors. Those that could not be written are
// queued again.
func (s *Service) writeCursors(ctx context.Context, limit int) error {
	moved, resumed := s.cursors.take(limit)
	var failed error
	for _, ref := range resumed {
		if err := s.setPaused(ctx, ref.room, []sip.AoR{ref.member.User}, false); err != nil {
			s.cursors.addResumed(ref.room, ref.member)
			failed = errors.Join(failed, err)
		}
	}
	for len(moved) > 0 {
		n := min(len(moved), flushBatch)
		if err := s.saveCursors(ctx, moved[:n]); err != nil {
			failed = errors.Join(failed, err)
		}
		moved = moved[n:]
	}
	return failed
}

// saveCursors writes the current cursors of members.
func (s *Service) saveCursors(ctx context.Context, refs []cursorRef) error {
	cs := make([]Cursor, 0, len(refs))
	for _, ref := range refs {
		r, m := ref.room, ref.member
		r.mu.Lock()
		m.cursorQueued = false
		if r.find(m.User) == m { // still in the room
			cs = append(cs, Cursor{Room: r.AoR, User: m.User, Seq: m.Cursor, Seen: m.Seen})
		}
		r.mu.Unlock()
	}
	if len(cs) == 0 {
		return nil
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	err := s.store.SaveCursors(ctx, cs)
	if err == nil {
		return nil
	}
	s.stats.StoreErrors.Add(1)
	for _, ref := range refs {
		ref.room.mu.Lock()
		s.cursors.add(ref.room, ref.member)
		ref.room.mu.Unlock()
	}
	return fmt.Errorf("save %d cursors: %w", len(cs), err)
}
