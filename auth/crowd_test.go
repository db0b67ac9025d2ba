package auth

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

type frozenCredentials struct{}

func (frozenCredentials) Lookup(ctx context.Context, user sip.AoR) (Secret, error) {
	if user.User != "alice" {
		return Secret{}, ErrUnknownUser
	}
	<-ctx.Done()
	return Secret{}, ctx.Err()
}

// While the database does not answer for one user, a bounded number of requests waits for it.
func TestCacheWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCache(frozenCredentials{}, CacheOptions{})
		var refused atomic.Int64
		for range maxWaiting + 100 {
			go func() {
				if _, err := c.Lookup(t.Context(), sip.AoR{User: "alice", Domain: "example.org"}); errors.Is(err, errCrowded) {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := refused.Load(); n != 99 {
			t.Errorf("%d are refused at once", n)
		}
		if _, err := c.Lookup(t.Context(), sip.AoR{User: "bob", Domain: "example.org"}); !errors.Is(err, ErrUnknownUser) {
			t.Errorf("another user: %v", err)
		}
		time.Sleep(2 * lookupTimeout)
	})
}
