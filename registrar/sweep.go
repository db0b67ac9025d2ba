package registrar

import (
	"context"
	"sync"
	"time"
)

const (
	sweepInterval    = 5 * time.Second  // between two sweeps of one shard
	flushInterval    = 15 * time.Second // between two flushes of one shard
	lastFlushTimeout = 5 * time.Second  // of the flush at the end
)

// Run removes expired bindings and writes refreshed ones until ctx is done. It then
// writes the refreshed ones that are left. It takes one shard after the other, so that no
// request waits long for a lock. Beside that it follows the rows of other programs.
func (l *Location) Run(ctx context.Context) error {
	var watch sync.WaitGroup
	if l.opt.Shared != nil {
		watch.Go(func() { l.watch(ctx) })
	}
	defer watch.Wait()
	sweep, flush := time.NewTicker(sweepInterval/shards), time.NewTicker(flushInterval/shards)
	defer sweep.Stop()
	defer flush.Stop()
	for swept, flushed := 0, 0; ; {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlushTimeout)
			l.flush(last)
			cancel()
			return nil
		case <-sweep.C:
			l.sweepShard(ctx, &l.shards[swept%shards])
			swept++
			l.deleteStale(ctx)
		case <-flush.C:
			l.flushShard(ctx, &l.shards[flushed%shards])
			flushed++
		}
	}
}

// sweepShard removes the expired bindings of a shard, also from the store in one commit.
func (l *Location) sweepShard(ctx context.Context, s *shard) {
	now := l.opt.Now()
	soon, follow := now.Add(endingSoon), l.opt.Shared != nil
	expired := func(b *Binding) bool {
		followed := b.Foreign && follow // its row has the present end
		return !b.Expires.After(now) && !followed
	}
	var removed []Change
	s.update.Lock()
	s.mu.Lock()
	for a, bs := range s.users {
		for i := range bs {
			if b := &bs[i]; b.Foreign && follow && b.Expires.Before(soon) {
				l.others.endsSoon(a, b)
			}
		}
		removed = append(removed, l.removeWhere(s, a, expired)...)
	}
	s.mu.Unlock()
	err := l.save(ctx, ours(removed))
	s.update.Unlock()
	l.Expired.Add(len(removed))
	if err != nil {
		l.opt.Log.Warn("expired bindings not removed from the store", "count", len(removed), "error", err)
	}
}

// flush writes the bindings that were only refreshed. A crash before costs them no more
// than the refresh: they expire as if it had not arrived, or are refreshed again. After
// an error, the next flush tries again.
func (l *Location) flush(ctx context.Context) {
	for i := range l.shards {
		l.flushShard(ctx, &l.shards[i])
	}
}

// flushShard writes the refreshed bindings of a shard in one commit.
func (l *Location) flushShard(ctx context.Context, s *shard) {
	s.update.Lock()
	defer s.update.Unlock()
	changes := s.refreshed()
	if err := l.save(ctx, changes); err != nil {
		l.opt.Log.Warn("refreshed bindings not written", "count", len(changes), "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range changes {
		delete(s.dirty, changes[i].Binding.RUID) // not refreshed since then: s.update is held
	}
}

// refreshed returns the bindings that were refreshed since they were written, and those of
// rewrite.
func (s *shard) refreshed() []Change {
	s.mu.RLock()
	defer s.mu.RUnlock()
	changes := make([]Change, 0, len(s.dirty))
	for ruid, a := range s.dirty {
		c := Change{AoR: a, Binding: Binding{RUID: ruid}, Removed: true}
		for _, b := range s.users[a] {
			if b.RUID == ruid {
				c.Binding, c.Removed = b, false
			}
		}
		changes = append(changes, c)
	}
	return changes
}

// rewrite has the next flush write the bindings of an update that was not adopted as they are in
// memory, because the store may have the update. s.update is held.
func (s *shard) rewrite(u *update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range u.changes {
		s.dirty[u.changes[i].Binding.RUID] = u.aor
	}
}
