package imc

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"silod/delivery"
	"silod/sip"
	"silod/watch"
)

var _ delivery.Source = (*Service)(nil)

// Next returns the oldest entries that owner has not got yet, of all rooms and in the
// order of their Seqs.
func (s *Service) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	var items []delivery.Item
	rooms := s.roomsOf(owner)
	for _, r := range rooms {
		may, err := s.gets(ctx, r, owner)
		switch {
		case err != nil:
			return nil, err
		case !may:
			continue
		}
		if items, err = s.appendUnread(ctx, r, owner, after, limit, items); err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", r.name, err)
		}
	}
	if len(rooms) > 1 {
		slices.SortFunc(items, func(a, b delivery.Item) int { return cmp.Compare(a.Key, b.Key) })
	}
	return items[:min(len(items), limit)], nil
}

// composeAll returns the posts of entries up to a Seq. Later entries are not published
// yet.
func (s *Service) composeAll(r *room, entries []Entry, last int64) []*post {
	posts := make([]*post, 0, len(entries))
	for i := range entries {
		if entries[i].Seq <= last {
			entries[i].Room = r.name
			posts = append(posts, s.compose(r, &entries[i]))
		}
	}
	return posts
}

// Settle moves owner's cursor over an item. It calls done at once, without waiting for
// a commit after every message: Next uses the cursor in memory, and if a crash loses
// it the message is sent again with the same Call-ID.
func (s *Service) Settle(owner sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	defer done(nil)
	m, ok := it.Row.(*member)
	if !ok {
		return
	}
	r := m.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.find(owner) != m || m.Withdrawn(it) {
		return // left or removed while the message was being sent
	}
	if !m.resent(it.Key) {
		s.settle(r, m, it.Key)
	}
	s.cursors.add(r, m)
	what := watch.Delivered
	if out.Verdict == delivery.Delivered {
		s.stats.Deliveries.Add(1)
	} else {
		what = watch.SetAside
		s.stats.DeliveriesRefused.Add(1)
	}
	if s.hub.Active() {
		s.hub.Publish(watch.Event{What: what, User: owner, From: it.From, CallID: it.CallID, Reason: out.Reason})
	}
	if out.Verdict == delivery.Delivered || out.Answered {
		s.markSeen(r, m)
	}
}

// Waiting calls f for every member that has entries to get and is not paused.
func (s *Service) Waiting(ctx context.Context, f func(owner sip.AoR)) error {
	s.mu.RLock()
	owners := make([]sip.AoR, 0, len(s.users))
	for u := range s.users {
		owners = append(owners, u)
	}
	s.mu.RUnlock()
	for _, u := range owners {
		if err := ctx.Err(); err != nil {
			return err
		}
		if slices.ContainsFunc(s.roomsOf(u), func(r *room) bool { return r.isWaiting(u) }) {
			f(u)
		}
	}
	return nil
}

// isWaiting reports whether a member has entries to get and is not paused.
func (r *room) isWaiting(user sip.AoR) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.find(user)
	return m.joined() && !m.Paused && (m.Cursor < r.last || m.skipped != nil && m.skipped.wanted)
}
