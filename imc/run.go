package imc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"silod/sip"
)

// How often the rooms are kept in order. Deleting is done in small pieces with
// pauses between them, because an engine with one writer (SQLite) lets nobody else
// write meanwhile.
const (
	trimEvery  = 10 * time.Second
	sweepEvery = time.Minute
	pauseEvery = time.Hour
	purgeChunk = 200 // entries that are deleted in one transaction
	purgePause = 50 * time.Millisecond
	partTime   = 5 * time.Second // for what is left to do at the end
)

// Run sends what is for one person, writes cursors and deletes what is no longer
// needed, until ctx ends. Then it finishes what is under way, as far as that is
// done in seconds.
func (s *Service) Run(ctx context.Context) error {
	mail, stopMail := context.WithCancel(context.WithoutCancel(ctx))
	defer stopMail()
	var workers sync.WaitGroup
	for range mailWorkers {
		workers.Go(func() { s.mailer.run(mail) })
	}
	workers.Go(func() { s.every(ctx, sweepEvery, s.sweep) })
	workers.Go(func() { s.every(ctx, pauseEvery, s.pauseAbsent) })
	s.keep(ctx)

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), partTime)
	defer cancel()
	s.mailer.drain(last)
	stopMail()
	workers.Wait()
	if err := s.Flush(last); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return nil
}

// every calls f now and then until ctx ends.
func (s *Service) every(ctx context.Context, d time.Duration, f func(context.Context)) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f(ctx)
		}
	}
}

// keep writes cursors and keeps memory small until ctx ends. A store that is away is
// reported when it goes and when it comes back.
func (s *Service) keep(ctx context.Context) {
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	var flush <-chan time.Time // nil while no cursor has moved
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-trim.C:
			s.forget()
		case <-s.ledger.due:
			if flush == nil {
				flush = time.After(flushAfter)
			}
		case <-flush:
			flush = nil
			err := s.write(ctx, flushBatch)
			if err != nil {
				flush = time.After(flushRetry)
			}
			if ctx.Err() == nil && (err != nil) != away {
				away = !away
				if away {
					s.log.Error("members' places in rooms cannot be written and are kept in memory", slog.Any("error", err))
				} else {
					s.log.Info("members' places in rooms are written again")
				}
			}
		}
	}
}

// forget drops from memory what nobody is likely to ask for.
func (s *Service) forget() {
	now := s.now()
	s.limiter.forget(now)
	s.knocks.forget(now)
	for _, r := range s.all() {
		r.mu.Lock()
		if before := r.tailSize; before > 0 {
			s.trim(r, before)
		}
		r.mu.Unlock()
	}
}

// sweep deletes entries that are no longer kept, and rooms that were destroyed and
// have nothing more to say. What a member may still get is kept even where history
// is shorter than catch_up.
func (s *Service) sweep(ctx context.Context) {
	now := s.now()
	for _, p := range []struct {
		before    time.Time
		delivered bool
	}{
		{now.Add(-s.cfg().History), true},
		{now.Add(-max(s.cfg().History, s.cfg().CatchUp)), false},
	} {
		if err := s.purge(ctx, p.before, p.delivered); err != nil && ctx.Err() == nil {
			s.stats.StoreErrors.Add(1)
			s.log.Error("old entries of rooms cannot be deleted", slog.Any("error", err))
			return
		}
	}
	for _, r := range s.all() {
		if err := s.lay(ctx, r); err != nil && ctx.Err() == nil {
			s.stats.StoreErrors.Add(1)
			s.log.Error("a destroyed room cannot be deleted", slog.Any("error", err))
			return
		}
	}
}

// purge deletes in small pieces, so that nobody has to wait for long.
func (s *Service) purge(ctx context.Context, before time.Time, delivered bool) error {
	for {
		sctx, cancel := storing(ctx)
		n, err := s.store.Purge(sctx, before, delivered, purgeChunk)
		cancel()
		if err != nil || n < purgeChunk {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(purgePause):
		}
	}
}

// lay buries a destroyed room when everybody has got its last words, or can no
// longer get them.
func (s *Service) lay(ctx context.Context, r *room) error {
	r.mu.Lock()
	waiting := s.now().Sub(r.lastAt) < s.cfg().CatchUp &&
		slices.ContainsFunc(r.members, func(m *member) bool { return m.seated() && m.Cursor < r.last })
	closed := r.made && r.Closed
	r.mu.Unlock()
	if !closed || waiting {
		return nil
	}
	r.step.Lock()
	defer r.step.Unlock()
	if r.gone || !r.Closed {
		return nil
	}
	return s.bury(ctx, r)
}

// pauseAbsent pauses members who have not been reachable for long: nobody is woken
// for them any more, and no daemon elsewhere is asked in vain. It loses them nothing:
// when they register, or speak, they are given what they missed.
func (s *Service) pauseAbsent(ctx context.Context) {
	if s.cfg().PauseAfter == 0 {
		return
	}
	for _, r := range s.all() {
		var absent []sip.AoR
		r.mu.Lock()
		for _, m := range r.members {
			if s.absent(r, m) {
				absent = append(absent, m.User)
			}
		}
		r.mu.Unlock()
		if len(absent) == 0 {
			continue
		}
		if err := s.setPaused(ctx, r, absent, true); err != nil {
			if ctx.Err() == nil {
				s.stats.StoreErrors.Add(1)
				s.log.Error("absent members cannot be paused", slog.Any("error", err))
			}
			return
		}
		s.log.Info("members paused: not reachable for long", slog.String("room", r.name.String()), slog.Int("members", len(absent)))
	}
}

// absent tells whether a member is to be paused. The caller holds r.mu.
func (s *Service) absent(r *room, m *member) bool {
	return m.seated() && !m.Paused && !r.Closed && m.Cursor < r.last && s.now().Sub(m.Seen) >= s.cfg().PauseAfter
}

// setPaused writes that members are paused, or are no longer. Meanwhile a member may
// have come back, or left: that is looked at again under the step lock.
func (s *Service) setPaused(ctx context.Context, r *room, users []sip.AoR, paused bool) error {
	r.step.Lock()
	defer r.step.Unlock()
	if !r.exists() {
		return nil
	}
	var put []Member
	r.mu.Lock()
	for _, u := range users {
		if m := r.index[u]; m.seated() && (!paused || s.absent(r, m)) {
			p := m.Member
			p.Paused = paused
			put = append(put, p)
		}
	}
	r.mu.Unlock()
	if len(put) == 0 {
		return nil
	}
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, Change{Room: r.Room, Put: put}); err != nil {
		return fmt.Errorf("pause members of %s: %w", r.name, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range put {
		r.index[p.User].Paused = paused
	}
	r.audience = nil
	return nil
}

// all gives the rooms in no order.
func (s *Service) all() []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	rooms := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}
