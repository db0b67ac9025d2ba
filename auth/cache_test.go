package auth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"silod/sip"
)

func lookUp(t testing.TB, c *Cache, user string, wantErr error) Secret {
	t.Helper()
	s, err := c.Lookup(context.Background(), aor(t, user))
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		t.Fatalf("%s: %v, want %v", user, err, wantErr)
	}
	return s
}

func TestCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := testUsers(t)
		c := NewCache(users, CacheOptions{})
		for _, step := range []struct {
			after time.Duration
			user  string
			err   error
			asked int64 // in total
		}{
			{0, "alice", nil, 1},
			{59 * time.Second, "alice", nil, 1},
			{time.Second, "alice", nil, 2}, // a minute after it was read, not used
			{0, "nobody", ErrUnknownUser, 3},
			{14 * time.Second, "nobody", ErrUnknownUser, 3},
			{time.Second, "nobody", ErrUnknownUser, 4},
		} {
			time.Sleep(step.after)
			lookUp(t, c, step.user, step.err)
			if n := users.asked.Load(); n != step.asked {
				t.Errorf("%s: asked %d times, want %d", step.user, n, step.asked)
			}
		}
		// Another program adds a user, who is found when the entry has expired.
		users.secrets[aor(t, "nobody")] = Secret{Password: "new"}
		time.Sleep(15 * time.Second)
		lookUp(t, c, "nobody", nil)
		if c.Stats.Hits.Value() != 2 || c.Stats.Misses.Value() != 5 {
			t.Errorf("%d hits, %d misses", c.Stats.Hits.Value(), c.Stats.Misses.Value())
		}
	})
}

func TestCacheInvalidate(t *testing.T) {
	users := testUsers(t)
	c := NewCache(users, CacheOptions{})
	lookUp(t, c, "bob", nil)
	lookUp(t, c, "dave", ErrUnknownUser)
	users.secrets[aor(t, "bob")] = Secret{Password: "new"}
	users.secrets[aor(t, "dave")] = Secret{Password: "first"}
	c.Invalidate(aor(t, "bob"))
	c.Invalidate(aor(t, "dave"))
	if p := lookUp(t, c, "bob", nil).Password; p != "new" {
		t.Errorf("bob's password is %s", p)
	}
	if p := lookUp(t, c, "dave", nil).Password; p != "first" {
		t.Errorf("dave's password is %s", p)
	}
}

func TestCacheDoesNotKeepFailures(t *testing.T) {
	users := testUsers(t)
	users.down = errors.New("connection refused")
	c := NewCache(users, CacheOptions{})
	lookUp(t, c, "alice", users.down)
	users.down = nil
	lookUp(t, c, "alice", nil)
}

// slow are Credentials that wait until gate is closed.
type slow struct {
	memoryCredentials
	gate    chan struct{}
	running atomic.Int64
}

func (s *slow) Lookup(ctx context.Context, user sip.AoR) (Secret, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	found, err := s.memoryCredentials.Lookup(ctx, user) // before the wait
	gate := s.gate
	select {
	case <-gate:
		return found, err
	case <-ctx.Done():
		return Secret{}, ctx.Err()
	}
}

func TestCacheLooksUpOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slow{memoryCredentials: memoryCredentials{secrets: testUsers(t).secrets}, gate: make(chan struct{})}
		c := NewCache(db, CacheOptions{})
		var done sync.WaitGroup
		for range 100 {
			done.Go(func() { lookUp(t, c, "alice", nil) })
			done.Go(func() { lookUp(t, c, "nobody", ErrUnknownUser) })
		}
		synctest.Wait()
		if n := db.running.Load(); n != 2 {
			t.Errorf("%d look-ups run for two names", n)
		}
		close(db.gate)
		done.Wait()
		if n := db.asked.Load(); n != 2 || len(c.lookups) != 0 {
			t.Errorf("%d look-ups for two names, %d left over", n, len(c.lookups))
		}
	})
}

// The caller that runs the look-up is canceled: another caller that waits runs it again.
func TestCacheCanceledLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slow{memoryCredentials: memoryCredentials{secrets: testUsers(t).secrets}, gate: make(chan struct{})}
		c := NewCache(db, CacheOptions{})
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		ask := func(ctx context.Context, want error) {
			done.Go(func() {
				if _, err := c.Lookup(ctx, aor(t, "alice")); !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("got %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		ask(ctx, context.Canceled)     // looks up
		ask(context.Background(), nil) // waits
		ask(context.Background(), nil) // waits
		canceled, stop := context.WithCancel(context.Background())
		ask(canceled, context.Canceled) // waits, and is canceled too
		stop()
		synctest.Wait()
		cancel()
		synctest.Wait()
		if n := db.running.Load(); n != 1 {
			t.Errorf("%d look-ups run", n)
		}
		close(db.gate)
		done.Wait()
		if n := db.asked.Load(); n != 2 {
			t.Errorf("%d look-ups", n)
		}
	})
}

// A password changes while it is read: the old one is not kept.
func TestCacheInvalidateDuringLookup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bob := aor(t, "bob")
		db := &slow{memoryCredentials: memoryCredentials{secrets: map[sip.AoR]Secret{bob: {Password: "old"}}}, gate: make(chan struct{})}
		c := NewCache(db, CacheOptions{})
		var done sync.WaitGroup
		done.Go(func() { lookUp(t, c, "bob", nil) })
		synctest.Wait()
		old := db.gate
		db.gate = make(chan struct{})
		db.secrets[bob] = Secret{Password: "new"}
		c.Invalidate(bob)
		// Later callers do not wait for the old password.
		done.Go(func() {
			if p := lookUp(t, c, "bob", nil).Password; p != "new" {
				t.Errorf("the password is %s", p)
			}
		})
		synctest.Wait()
		close(db.gate)
		synctest.Wait()
		close(old)
		done.Wait()
		if p := lookUp(t, c, "bob", nil).Password; p != "new" || len(c.lookups) != 0 {
			t.Errorf("the cached password is %s", p)
		}
	})
}

type panicky struct{}

func (panicky) Lookup(context.Context, sip.AoR) (Secret, error) { panic("bug") }

func TestCacheSurvivesPanic(t *testing.T) {
	c := NewCache(panicky{}, CacheOptions{})
	for range 2 { // the second does not wait for the first
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			lookUp(t, c, "alice", nil)
		}()
	}
}

// A flood of unknown names does not replace users, and takes limited memory.
func TestCacheIsBounded(t *testing.T) {
	users := testUsers(t)
	c := NewCache(users, CacheOptions{Size: 256})
	lookUp(t, c, "alice", nil)
	for i := range 10_000 {
		lookUp(t, c, fmt.Sprintf("nobody%d", i), ErrUnknownUser)
	}
	before := users.asked.Load()
	lookUp(t, c, "alice", nil)
	if users.asked.Load() != before {
		t.Error("alice was replaced")
	}
	if known, unknown := c.known.Len(), c.unknown.Len(); known != 1 || unknown != 256 {
		t.Errorf("%d known and %d unknown users have entries", known, unknown)
	}
}
