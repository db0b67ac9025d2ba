package imc

import (
	"context"
	"slices"
	"time"

	"silod/sip"
	"silod/watch"
)

// storeTime is how long a call of the store may take: well below the time after
// which a sender gives up (Timer F, 32 s).
const storeTime = 10 * time.Second

// underway is an entry that is being committed. Several people may speak in a room at
// once, and the store lets them share a commit. What comes back first need not have
// been written first; but a member's cursor may pass an entry only when none with a
// lower Seq can follow. So entries stand in line from the moment in which their order
// is certain, and become readable when all before them have come back.
type underway struct {
	back bool
	post *post // committed; nil where it failed
}

// say commits an entry and lets it be read. The caller holds r.step shared.
func (s *Service) say(ctx context.Context, r *room, e *Entry) error {
	u := new(underway)
	var p *post
	defer func() { s.land(r, u, p) }() // whatever happens: others wait for it
	ctx, cancel := storing(ctx)
	defer cancel()
	err := s.store.Append(ctx, e, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.line = append(r.line, u)
	})
	if err != nil {
		return err
	}
	p = s.compose(e)
	if s.hub.Active() {
		s.hub.Publish(watch.Event{
			What: watch.Said, User: e.Room, From: e.From.String(), CallID: e.CallID, Type: e.Header("Content-Type"), Body: e.Body,
		})
	}
	return nil
}

// land notes that an entry has come back, nil where it failed, and publishes what
// waits for nothing any more.
func (s *Service) land(r *room, u *underway, p *post) {
	r.mu.Lock()
	u.back, u.post = true, p
	var posts []*post
	n := 0
	for n < len(r.line) && r.line[n].back {
		if p := r.line[n].post; p != nil {
			posts = append(posts, p)
		}
		n++
	}
	if r.line = slices.Delete(r.line, 0, n); len(r.line) == 0 && cap(r.line) > 8 {
		r.line = nil
	}
	hearers := s.publish(r, posts)
	r.mu.Unlock()
	s.wake(hearers, posts)
}

// publish makes posts readable and gives whom to wake. The caller holds r.mu.
func (s *Service) publish(r *room, posts []*post) []sip.AoR {
	if len(posts) == 0 {
		return nil
	}
	before := r.tailSize
	r.publish(posts, s.cfg().Echo, s.ledger.note)
	s.trim(r, before)
	return r.hearers()
}

// trim keeps a room's tail, and all tails together, within their limits; before
// is the size that the tail had when it was last counted. The caller holds r.mu.
func (s *Service) trim(r *room, before int) {
	limit := tailBytes
	if s.tails.Load() > tailsBytes {
		limit = 0
	}
	r.trim(s.now(), limit)
	s.tails.Add(int64(r.tailSize - before))
}

// wake wakes those who hear a room, but not somebody who alone has spoken.
func (s *Service) wake(hearers []sip.AoR, posts []*post) {
	var speaker sip.AoR
	if len(posts) == 1 && !s.cfg().Echo {
		speaker = posts[0].from
	}
	s.waker.WakeAll(hearers, speaker)
}
