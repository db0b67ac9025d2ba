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

func lookup(t testing.TB, c *Cache, user string, wantErr error) Secret {
	t.Helper()
	s, err := c.Lookup(context.Background(), aor(t, user))
	if !errors.Is(err, wantErr) || err != nil && wantErr == nil {
		t.Fatalf("%s: %v, want %v", user, err, wantErr)
	}
	return s
}

func TestCacheExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := town(t)
		c := NewCache(town, CacheOptions{})
		for _, step := range []struct {
			after time.Duration
			user  string
			err   error
			asked int64 // in all
		}{
			{0, "alice", nil, 1},
			{59 * time.Second, "alice", nil, 1},
			{time.Second, "alice", nil, 2}, // it is a minute from when it was read, not used
			{0, "nobody", ErrUnknownUser, 3},
			{14 * time.Second, "nobody", ErrUnknownUser, 3},
			{time.Second, "nobody", ErrUnknownUser, 4},
		} {
			time.Sleep(step.after)
			lookup(t, c, step.user, step.err)
			if n := town.asked.Load(); n != step.asked {
				t.Errorf("%s: asked %d times, want %d", step.user, n, step.asked)
			}
		}
		// Somebody is added elsewhere, and found when the cache has forgotten.
		town.secrets[aor(t, "nobody")] = Secret{Password: "new"}
		time.Sleep(15 * time.Second)
		lookup(t, c, "nobody", nil)
		if c.Stats.Hits.Value() != 2 || c.Stats.Misses.Value() != 5 {
			t.Errorf("%d hits, %d misses", c.Stats.Hits.Value(), c.Stats.Misses.Value())
		}
	})
}

func TestCacheInvalidate(t *testing.T) {
	town := town(t)
	c := NewCache(town, CacheOptions{})
	lookup(t, c, "bob", nil)
	lookup(t, c, "dave", ErrUnknownUser)
	town.secrets[aor(t, "bob")] = Secret{Password: "new"}
	town.secrets[aor(t, "dave")] = Secret{Password: "first"}
	c.Invalidate(aor(t, "bob"))
	c.Invalidate(aor(t, "dave"))
	if p := lookup(t, c, "bob", nil).Password; p != "new" {
		t.Errorf("bob's password is %s", p)
	}
	if p := lookup(t, c, "dave", nil).Password; p != "first" {
		t.Errorf("dave's password is %s", p)
	}
}

func TestCacheRemembersNoFailure(t *testing.T) {
	town := town(t)
	town.down = errors.New("connection refused")
	c := NewCache(town, CacheOptions{})
	lookup(t, c, "alice", town.down)
	town.down = nil
	lookup(t, c, "alice", nil)
}

// slow is Credentials that wait for a signal.
type slow struct {
	people
	gate    chan struct{}
	running atomic.Int64
}

func (s *slow) Lookup(ctx context.Context, user sip.AoR) (Secret, error) {
	s.running.Add(1)
	defer s.running.Add(-1)
	found, err := s.people.Lookup(ctx, user) // as of now
	gate := s.gate
	select {
	case <-gate:
		return found, err
	case <-ctx.Done():
		return Secret{}, ctx.Err()
	}
}

func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slow{people: people{secrets: town(t).secrets}, gate: make(chan struct{})}
		c := NewCache(db, CacheOptions{})
		var done sync.WaitGroup
		for range 100 {
			done.Go(func() { lookup(t, c, "alice", nil) })
			done.Go(func() { lookup(t, c, "nobody", ErrUnknownUser) })
		}
		synctest.Wait()
		if n := db.running.Load(); n != 2 {
			t.Errorf("%d look-ups run for two names", n)
		}
		close(db.gate)
		done.Wait()
		if n := db.asked.Load(); n != 2 || len(c.flights) != 0 {
			t.Errorf("%d look-ups for two names, %d left over", n, len(c.flights))
		}
	})
}

// The one who asks goes away: one of those who wait with him asks again.
func TestCacheGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &slow{people: people{secrets: town(t).secrets}, gate: make(chan struct{})}
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
		ask(ctx, context.Canceled)     // asks
		ask(context.Background(), nil) // waits
		ask(context.Background(), nil) // waits
		impatient, stop := context.WithCancel(context.Background())
		ask(impatient, context.Canceled) // waits, and goes away too
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

// A password is changed while it is being read: what was read is not remembered.
func TestCacheInvalidateMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bob := aor(t, "bob")
		db := &slow{people: people{secrets: map[sip.AoR]Secret{bob: {Password: "old"}}}, gate: make(chan struct{})}
		c := NewCache(db, CacheOptions{})
		var done sync.WaitGroup
		done.Go(func() { lookup(t, c, "bob", nil) })
		synctest.Wait()
		old := db.gate
		db.gate = make(chan struct{})
		db.secrets[bob] = Secret{Password: "new"}
		c.Invalidate(bob)
		// Who asks from now on does not wait for the old answer, and gets the new one.
		done.Go(func() {
			if p := lookup(t, c, "bob", nil).Password; p != "new" {
				t.Errorf("the password is %s", p)
			}
		})
		synctest.Wait()
		close(db.gate)
		synctest.Wait()
		close(old)
		done.Wait()
		if p := lookup(t, c, "bob", nil).Password; p != "new" || len(c.flights) != 0 {
			t.Errorf("the password remembered is %s", p)
		}
	})
}

type panicky struct{}

func (panicky) Lookup(context.Context, sip.AoR) (Secret, error) { panic("programmer's error") }

func TestCacheSurvivesPanic(t *testing.T) {
	c := NewCache(panicky{}, CacheOptions{})
	for range 2 { // the second does not wait for the first for ever
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			lookup(t, c, "alice", nil)
		}()
	}
}

// A flood of names that do not exist drives no user out, and has its bound.
func TestCacheIsBounded(t *testing.T) {
	town := town(t)
	c := NewCache(town, CacheOptions{Size: 256})
	lookup(t, c, "alice", nil)
	for i := range 10_000 {
		lookup(t, c, fmt.Sprintf("nobody%d", i), ErrUnknownUser)
	}
	before := town.asked.Load()
	lookup(t, c, "alice", nil)
	if town.asked.Load() != before {
		t.Error("alice was driven out")
	}
	if known, unknown := c.known.Len(), c.unknown.Len(); known != 1 || unknown != 256 {
		t.Errorf("%d known and %d unknown are remembered", known, unknown)
	}
}
