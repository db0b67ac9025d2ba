package silo

import (
	"context"
	"sync"

	"silod/sip"
)

// turns lets one after the other count a mailbox and store into it, so that a
// quota holds whatever arrives at once.
type turns struct {
	mu    sync.Mutex
	boxes map[sip.AoR]*turn
}

type turn struct {
	now   chan struct{} // has an element while somebody has the turn
	users int           // who have it or wait for it
}

// take waits for an owner's turn. done, called once, passes it on.
func (t *turns) take(ctx context.Context, a sip.AoR) (done func(), err error) {
	t.mu.Lock()
	b := t.boxes[a]
	if b == nil {
		if t.boxes == nil {
			t.boxes = make(map[sip.AoR]*turn)
		}
		b = &turn{now: make(chan struct{}, 1)}
		t.boxes[a] = b
	}
	b.users++
	t.mu.Unlock()
	select {
	case b.now <- struct{}{}:
		return func() {
			<-b.now
			t.leave(a, b)
		}, nil
	case <-ctx.Done():
		t.leave(a, b)
		return nil, ctx.Err()
	}
}

func (t *turns) leave(a sip.AoR, b *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.users--; b.users == 0 {
		delete(t.boxes, a)
	}
}
