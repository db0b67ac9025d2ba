package imc

import (
	"context"
	"slices"

	"silod/sip"
	"silod/watch"
)

// A pendingEntry is an entry that is being committed. The Store may commit several
// entries of a room at once and return from the calls in any order, but a member's
// cursor may pass an entry only when no entry with a lower Seq can follow. So an entry
// joins room.commitQueue when its order is certain, and is published when all entries
// before it are complete.
type pendingEntry struct {
	complete bool  // the call of the Store has returned
	post     *post // nil if the commit failed
}

// appendEntry commits an entry and publishes it. The caller holds r.stateMu shared.
func (s *Service) appendEntry(ctx context.Context, r *room, e *Entry) error {
	pending := new(pendingEntry)
	var p *post
	defer func() { s.complete(r, pending, p) }() // in any case: later entries wait for it
	err := s.store.Append(ctx, e, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.commitQueue = append(r.commitQueue, pending)
	})
	if err != nil {
		return err
	}
	p = s.compose(r, e)
	if s.hub.Active() {
		s.hub.Publish(watch.Event{
			What: watch.Said, User: e.Room, From: e.From.String(), CallID: e.CallID, Type: e.Header("Content-Type"), Body: e.Body,
		})
	}
	return nil
}

// complete records the result of a commit, nil if it failed, and publishes the
// entries at the head of the queue that are complete.
func (s *Service) complete(r *room, pending *pendingEntry, p *post) {
	r.mu.Lock()
	pending.complete, pending.post = true, p
	var posts []*post
	n := 0
	for n < len(r.commitQueue) && r.commitQueue[n].complete {
		if p := r.commitQueue[n].post; p != nil {
			posts = append(posts, p)
		}
		n++
	}
	if r.commitQueue = slices.Delete(r.commitQueue, 0, n); len(r.commitQueue) == 0 && cap(r.commitQueue) > 8 {
		r.commitQueue = nil
	}
	audience := s.publish(r, posts)
	r.mu.Unlock()
	s.wake(r, audience, posts)
}

// publish makes posts readable and returns the members to wake. The caller holds
// r.mu.
func (s *Service) publish(r *room, posts []*post) []sip.AoR {
	if len(posts) == 0 {
		return nil
	}
	before := r.tailSize
	r.publish(posts, s.config().Echo, s.cursors.add)
	s.trim(r, before)
	return r.audience()
}

// wake wakes the audience of posts in a room, except the sender of a single post.
func (s *Service) wake(r *room, audience []sip.AoR, posts []*post) {
	var sender sip.AoR
	if len(posts) == 1 && !s.config().Echo {
		sender = posts[0].from
	}
	s.waker.WakeAll(r, audience, sender)
}
