package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

// While the database hangs, a look-up fails after a while, also for those that wait for the same.
func TestLookupsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slow{memoryCredentials: memoryCredentials{secrets: testUsers(t).secrets}, gate: make(chan struct{})}
		c, start := NewCache(db, CacheOptions{}), time.Now()
		ends := make(chan error)
		for range 3 {
			go func() {
				_, err := c.Lookup(t.Context(), aor(t, "alice"))
				ends <- err
			}()
		}
		for range 3 {
			if err := <-ends; !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		id := NewIdentity(func(ctx context.Context, _, _ sip.AoR) (bool, error) {
			<-ctx.Done()
			return false, ctx.Err()
		})
		if _, err := id.Allowed(t.Context(), aor(t, "alice"), aor(t, "bob")); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != 2*lookupTimeout {
			t.Errorf("took %v", took)
		}
		close(db.gate)
		lookUp(t, c, "alice", nil)
	})
}
