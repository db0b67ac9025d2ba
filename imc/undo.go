package imc

import (
	"context"
	"fmt"
)

// undoOf returns the change that makes the stored room what it is now, after c. The caller holds
// r.stateMu.
func (r *room) undoOf(c *Change) *Change {
	u := &Change{Room: r.Room, Delete: !r.stored}
	for _, p := range c.Put {
		if m := r.find(p.User); m != nil {
			u.Put = append(u.Put, r.memberCopy(m))
		} else {
			u.Remove = append(u.Remove, p.User)
		}
	}
	for _, user := range c.Remove {
		if m := r.find(user); m != nil {
			u.Put = append(u.Put, r.memberCopy(m))
		}
	}
	return u
}

// inTime returns ErrBusy if the time of a request was over when it got the lock of a room: its
// sender must not see it carried out later.
func inTime(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("wait for room: %w: %w", ErrBusy, err)
	}
	return nil
}
