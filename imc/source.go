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

// Next gives the oldest messages that owner has not got yet in all the rooms,
// in the order in which they were said.
func (s *Service) Next(ctx context.Context, owner sip.AoR, after int64, limit int) ([]delivery.Item, error) {
	var items []delivery.Item
	var err error
	rooms := s.roomsOf(owner)
	for _, r := range rooms {
		if items, err = s.unread(ctx, r, owner, after, limit, items); err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", r.name, err)
		}
	}
	if len(rooms) > 1 {
		slices.SortFunc(items, func(a, b delivery.Item) int { return cmp.Compare(a.Key, b.Key) })
	}
	return items[:min(len(items), limit)], nil
}

// composeAll makes posts of entries up to a Seq: what was committed later is not
// published yet.
func (s *Service) composeAll(r *room, entries []Entry, last int64) []*post {
	posts := make([]*post, 0, len(entries))
	for i := range entries {
		if entries[i].Seq <= last {
			entries[i].Room = r.name
			posts = append(posts, s.compose(&entries[i]))
		}
	}
	return posts
}

// Settle moves owner's cursor over an item. It calls done at once: the cursor in
// memory is what Next goes by, and one that a crash loses makes the message go out
// again with the Call-ID that it had, which is better than to wait for a commit
// after every message.
func (s *Service) Settle(owner sip.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	defer done(nil)
	r, ok := it.Row.(*room)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[owner]
	if !m.seated() {
		return // left, or removed, while the message was on its way
	}
	s.settle(r, m, it.Key)
	s.ledger.note(r, m)
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
		s.seen(r, m)
	}
}

// seen records that a member is there. The caller holds r.mu.
func (s *Service) seen(r *room, m *member) {
	m.Seen = s.now()
	s.ledger.note(r, m)
	if m.Paused {
		m.Paused = false
		r.audience = nil
		s.ledger.resume(r, m)
	}
}

// Waiting calls f for every member who has something to get and is not paused.
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
		if slices.ContainsFunc(s.roomsOf(u), func(r *room) bool { return r.owes(u) }) {
			f(u)
		}
	}
	return nil
}

// owes tells whether a member who is not paused has something to get.
func (r *room) owes(user sip.AoR) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[user]
	return m.seated() && !m.Paused && m.Cursor < r.last
}
