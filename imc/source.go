package imc

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"silod/address"
	"silod/delivery"
)

var _ delivery.Source = (*Service)(nil)

// Next gives the oldest messages that owner has not got yet in all the rooms,
// in the order in which they were said.
func (s *Service) Next(ctx context.Context, owner address.AoR, after int64, limit int) ([]delivery.Item, error) {
	var items []delivery.Item
	rooms := s.roomsOf(owner)
	for _, r := range rooms {
		posts, err := s.unread(ctx, r, owner, after, limit)
		if err != nil {
			return nil, fmt.Errorf("read the log of %s: %w", r.name, err)
		}
		for _, p := range posts {
			items = append(items, p.item(r.name, owner))
		}
	}
	if len(rooms) > 1 {
		slices.SortFunc(items, func(a, b delivery.Item) int { return cmp.Compare(a.Key, b.Key) })
	}
	return items[:min(len(items), limit)], nil
}

// unread gives at most limit posts that a member has not got, with a Seq above
// after. The cursor moves over what need not be given: the member's own words, and
// what has expired.
func (s *Service) unread(ctx context.Context, r *room, user address.AoR, after int64, limit int) ([]*post, error) {
	var found []*post
	for whole := false; !whole && len(found) < limit; {
		var v view
		v, whole = r.above(user, after)
		if !whole {
			entries, err := s.store.Log(ctx, r.name, v.from, max(limit, logPage))
			if err != nil {
				return nil, err
			}
			if v.posts = s.composeAll(entries, v.last); len(v.posts) == 0 {
				v.skip, whole = v.last, true // the rest has been purged
			}
		}
		for _, p := range v.posts {
			if len(found) == limit {
				break
			}
			after = p.seq
			switch late := s.now().Sub(p.at) >= s.cfg().CatchUp; {
			case s.owed(p, user):
				found = append(found, p)
				continue
			case late:
				v.stale = p.seq
			}
			if len(found) == 0 {
				v.skip = p.seq
			}
		}
		s.pass(r, user, v)
	}
	return found, nil
}

// owed tells whether a member is to get a post.
func (s *Service) owed(p *post, user address.AoR) bool {
	return s.now().Before(p.expires) && (p.from != user || s.cfg().Echo)
}

// logPage is how many entries are read from the store at least.
const logPage = 64

// view is what a member sees of the log when it is read.
type view struct {
	posts   []*post
	from    int64 // posts have a Seq above this
	last    int64 // the newest that may be read
	gapless bool  // between the cursor and from there is nothing to be given
	skip    int64 // up to here nothing need be given, 0 where something must
	stale   int64 // up to here everything is too old for anybody, 0 where unknown
}

// above looks for what a member has not got with a Seq above after. Where the
// tail does not reach back so far it gives no posts, and false.
func (r *room) above(user address.AoR, after int64) (view, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[user]
	if !m.seated() {
		return view{}, true
	}
	v := view{last: r.last, from: max(after, m.Cursor, r.stale), gapless: after <= max(m.Cursor, r.stale)}
	if v.from >= r.last {
		return v, true
	}
	posts, whole := r.since(v.from)
	v.posts = slices.Clone(posts)
	return v, whole
}

// pass moves a member's cursor over what need not be given, and remembers what is
// too old for anybody, so that the next member does not read it.
func (s *Service) pass(r *room, user address.AoR, v view) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stale = max(r.stale, v.stale)
	if m := r.index[user]; v.gapless && m.seated() && v.skip > m.Cursor {
		m.Cursor = v.skip
		s.ledger.note(r, m)
	}
}

// composeAll makes posts of entries up to a Seq: what was committed later is not
// published yet.
func (s *Service) composeAll(entries []Entry, last int64) []*post {
	posts := make([]*post, 0, len(entries))
	for i := range entries {
		if entries[i].Seq <= last {
			posts = append(posts, s.compose(&entries[i]))
		}
	}
	return posts
}

// Settle moves owner's cursor over an item. It calls done at once: the cursor in
// memory is what Next goes by, and one that a crash loses makes the message go out
// again with the Call-ID that it had, which is better than to wait for a commit
// after every message.
func (s *Service) Settle(owner address.AoR, it *delivery.Item, out delivery.Outcome, done func(error)) {
	defer done(nil)
	r := s.roomOf(it)
	if r == nil {
		return // the room is gone, and the item with it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.index[owner]; m.seated() {
		m.Cursor = max(m.Cursor, it.Key)
		switch out.Verdict {
		case delivery.Delivered:
			s.stats.Deliveries.Add(1)
			s.seen(r, m)
		default:
			s.stats.DeliveriesRefused.Add(1)
			s.ledger.note(r, m)
		}
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
func (s *Service) Waiting(ctx context.Context, f func(owner address.AoR)) error {
	s.mu.RLock()
	owners := make([]address.AoR, 0, len(s.users))
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
func (r *room) owes(user address.AoR) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[user]
	return m.seated() && !m.Paused && m.Cursor < r.last
}

// roomsOf gives the rooms in which a user is a member, closed ones among them.
func (s *Service) roomsOf(u address.AoR) []*room {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if x := s.users[u]; x != nil {
		return slices.Clone(x.rooms)
	}
	return nil
}

// roomOf finds the room that an item comes from: it is its From.
func (s *Service) roomOf(it *delivery.Item) *room {
	na, err := address.ParseNameAddr(it.From)
	if err != nil {
		return nil
	}
	a, _ := s.domains.AoR(na.URI)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rooms[a]
}
