package imc

import (
	"context"
	"time"

	"silod/address"
	"silod/watch"
)

// storeTime is how long a call of the store may take: well below the time after
// which a sender gives up (Timer F, 32 s).
const storeTime = 10 * time.Second

// wave is entries of one room that are committed together. Several people may
// speak in a room at once, and the store lets them share a commit; but a member's
// cursor may pass an entry only when no entry with a lower Seq can follow. So the
// entries of a wave become readable when the last of them is committed, and the
// next wave starts only then.
type wave struct {
	start chan struct{} // closed when its turn has come; nil for one that need not wait
	open  int           // entries whose commit has not come back
	posts []*post       // committed
}

// say commits an entry and lets it be read. The caller holds r.step shared.
func (s *Service) say(ctx context.Context, r *room, e *Entry) error {
	w, err := r.board(ctx)
	if err != nil {
		return err
	}
	var p *post
	defer func() { s.land(r, w, p) }() // whatever happens: others wait for it
	ctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Append(ctx, e); err != nil {
		return err
	}
	p = s.compose(e)
	if s.hub.On() {
		s.hub.Tell(watch.Event{
			What: watch.Said, User: e.Room, From: e.From.String(), CallID: e.CallID, Type: e.Header("Content-Type"), Body: e.Body,
		})
	}
	return nil
}

// board joins the wave that runs next and waits for its turn.
func (r *room) board(ctx context.Context) (*wave, error) {
	r.mu.Lock()
	if r.running == nil {
		w := &wave{open: 1}
		r.running = w
		r.mu.Unlock()
		return w, nil
	}
	if r.waiting == nil {
		r.waiting = &wave{start: make(chan struct{})}
	}
	w := r.waiting
	w.open++
	r.mu.Unlock()
	select {
	case <-w.start:
		return w, nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.running == w { // its turn came in the same moment
		return w, nil
	}
	if w.open--; w.open == 0 {
		r.waiting = nil
	}
	return nil, ctx.Err()
}

// land reports a commit, nil where it failed. The last of a wave publishes it,
// starts the next one and wakes the members.
func (s *Service) land(r *room, w *wave, p *post) {
	r.mu.Lock()
	if p != nil {
		w.posts = append(w.posts, p)
	}
	if w.open--; w.open > 0 {
		r.mu.Unlock()
		return
	}
	r.running, r.waiting = r.waiting, nil
	if r.running != nil {
		close(r.running.start)
	}
	hearers := s.publish(r, w.posts)
	r.mu.Unlock()
	s.wake(hearers, w.posts)
}

// publish makes posts readable and gives whom to wake. The caller holds r.mu.
func (s *Service) publish(r *room, posts []*post) []address.AoR {
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
func (s *Service) wake(hearers []address.AoR, posts []*post) {
	var speaker address.AoR
	if len(posts) == 1 && !s.cfg().Echo {
		speaker = posts[0].from
	}
	s.waker.WakeAll(hearers, speaker)
}
