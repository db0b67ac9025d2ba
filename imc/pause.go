package imc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"silod/sip"
)

// pauseAbsent pauses members that have been unreachable for PauseAfter: they are not
// woken any more, and no server elsewhere is tried in vain for them. They lose
// nothing: when they register or send a message they get the entries that they
// missed.
func (s *Service) pauseAbsent(ctx context.Context) {
	if s.config().PauseAfter == 0 {
		return
	}
	for _, r := range s.allRooms() {
		var absent []sip.AoR
		r.mu.Lock()
		for _, m := range r.members {
			if s.isAbsent(r, m) {
				absent = append(absent, m.User)
			}
		}
		r.mu.Unlock()
		if len(absent) == 0 {
			continue
		}
		for some := range slices.Chunk(absent, purgeBatch) {
			if err := s.setPaused(ctx, r, some, true); err != nil {
				if ctx.Err() == nil {
					s.stats.StoreErrors.Add(1)
					s.log.Error("absent members not paused", slog.Any("error", err))
				}
				return
			}
		}
		s.log.Info("absent members paused", slog.String("room", r.name.String()), slog.Int("members", len(absent)))
	}
}

// isAbsent reports whether a member must be paused. The caller holds r.mu.
func (s *Service) isAbsent(r *room, m *member) bool {
	return m.joined() && !m.Paused && !r.Closed && m.Cursor < r.last && s.now().Sub(m.Seen) >= s.config().PauseAfter
}

// setPaused pauses members or ends their pause. It checks them again under the state
// lock, because they may have been seen or left meanwhile.
func (s *Service) setPaused(ctx context.Context, r *room, users []sip.AoR, paused bool) error {
	r.stateMu.Lock()
	defer r.stateMu.Unlock()
	if !r.exists() {
		return nil
	}
	var put []Member
	r.mu.Lock()
	for _, u := range users {
		if m := r.find(u); m.joined() && (!paused || s.isAbsent(r, m)) {
			p := m.Member
			p.Paused = paused
			put = append(put, p)
		}
	}
	r.mu.Unlock()
	if len(put) == 0 {
		return nil
	}
	sctx, cancel := storeContext(ctx)
	defer cancel()
	c := Change{Room: r.Room, Put: put}
	c.Undo = r.undoOf(&c)
	if err := s.store.Apply(sctx, c); err != nil {
		return fmt.Errorf("pause members of %s: %w", r.name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range put {
		m := r.find(p.User)
		if paused && !s.isAbsent(r, m) { // seen while the pause was written
			s.cursors.addResumed(r, m)
			continue
		}
		m.Paused = paused
	}
	r.cachedAudience = nil
	return nil
}

// markSeen records that a member is reachable and ends its pause. The caller holds
// r.mu.
func (s *Service) markSeen(r *room, m *member) {
	m.Seen = s.now()
	s.cursors.add(r, m)
	if m.Paused {
		m.Paused = false
		r.cachedAudience = nil
		s.cursors.addResumed(r, m)
	}
}
