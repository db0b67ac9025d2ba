package auth

import (
	"context"
	"errors"
	"sync"
	"time"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// CacheOptions are what a Cache may have. Zero values stand for the defaults given.
type CacheOptions struct {
	Size    int           // users remembered, and as many names of no user; 65536
	Known   time.Duration // how long a secret is believed; 1 minute
	Unknown time.Duration // how long a user is believed not to exist; 15 seconds
	Now     func() time.Time
}

// Cache remembers what Credentials said, also of users who do not exist, and asks
// about one user only once at a time. A password that is changed elsewhere is noticed
// when the entry's time is over; who changes one here calls Invalidate. Failures are
// not remembered. Make it with NewCache.
type Cache struct {
	from Credentials
	opt  CacheOptions
	// Two tables, so that a flood of made-up names does not drive out users.
	known, unknown *limit.Table[sip.AoR, cached]

	mu      sync.Mutex
	flights map[sip.AoR]*flight
	Stats   CacheStats
}

// CacheStats count what a Cache did.
type CacheStats struct{ Hits, Misses mi.Counter }

// cached is an answer that is remembered.
type cached struct {
	secret Secret
	err    error // nil, or ErrUnknownUser
	until  time.Time
	used   time.Time
}

// flight is a lookup that runs. Its fields are set when done is closed.
type flight struct {
	done   chan struct{}
	secret Secret
	err    error
	// givenUp is set if the one who asked went away, which says nothing to those who
	// wait with him.
	givenUp bool
}

var _ Credentials = (*Cache)(nil)

// NewCache makes a cache in front of from.
func NewCache(from Credentials, opt CacheOptions) *Cache {
	if opt.Size == 0 {
		opt.Size = 1 << 16
	}
	if opt.Known == 0 {
		opt.Known = time.Minute
	}
	if opt.Unknown == 0 {
		opt.Unknown = 15 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	start := opt.Now()
	worth := func(c *cached, now time.Time) float64 {
		if !now.Before(c.until) {
			return -1
		}
		return c.used.Sub(start).Seconds()
	}
	return &Cache{
		from:    from,
		opt:     opt,
		known:   limit.NewTable[sip.AoR](opt.Size, worth),
		unknown: limit.NewTable[sip.AoR](opt.Size, worth),
		flights: map[sip.AoR]*flight{},
	}
}

// Lookup gives what is remembered of a user, or asks.
func (c *Cache) Lookup(ctx context.Context, user sip.AoR) (Secret, error) {
	for {
		c.mu.Lock()
		if e, ok := c.remembered(user); ok {
			c.mu.Unlock()
			c.Stats.Hits.Inc()
			return e.secret, e.err
		}
		f, waiting := c.flights[user]
		if !waiting {
			f = &flight{done: make(chan struct{}), givenUp: true}
			c.flights[user] = f
		}
		c.mu.Unlock()
		if !waiting {
			c.Stats.Misses.Inc()
			c.ask(ctx, user, f)
			return f.secret, f.err
		}
		select {
		case <-f.done:
			if !f.givenUp {
				return f.secret, f.err
			}
		case <-ctx.Done():
			return Secret{}, ctx.Err()
		}
	}
}

// ask looks the user up for everybody who waits, and also if that panics lets them go.
func (c *Cache) ask(ctx context.Context, user sip.AoR, f *flight) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		// Unless Invalidate was called meanwhile: what was read may be the old password.
		if c.flights[user] == f {
			delete(c.flights, user)
			if !f.givenUp {
				c.remember(user, f.secret, f.err)
			}
		}
		close(f.done)
	}()
	f.secret, f.err = c.from.Lookup(ctx, user)
	f.givenUp = f.err != nil && ctx.Err() != nil
}

func (c *Cache) remembered(user sip.AoR) (found cached, ok bool) {
	now := c.opt.Now()
	look := func(e *cached) {
		if ok = now.Before(e.until); ok {
			e.used = now
			found = *e
		}
	}
	if c.known.Find(user, look); !ok {
		c.unknown.Find(user, look)
	}
	return found, ok
}

func (c *Cache) remember(user sip.AoR, s Secret, err error) {
	now := c.opt.Now()
	switch {
	case err == nil:
		e := cached{secret: s, until: now.Add(c.opt.Known), used: now}
		c.known.Update(user, now, func(old *cached) { *old = e })
	case errors.Is(err, ErrUnknownUser):
		e := cached{err: ErrUnknownUser, until: now.Add(c.opt.Unknown), used: now}
		c.unknown.Update(user, now, func(old *cached) { *old = e })
	}
}

// Invalidate forgets a user whose password was set or removed.
func (c *Cache) Invalidate(user sip.AoR) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.flights, user)
	c.known.Delete(user)
	c.unknown.Delete(user)
}

// Counters are the cache's statistics.
func (c *Cache) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "cache_hits", Help: "Credentials that were remembered.", Counter: &c.Stats.Hits},
		{Name: "cache_misses", Help: "Credentials looked up in the database.", Counter: &c.Stats.Misses},
		{Name: "cached_users", Help: "Users whose credentials are remembered.", Gauge: func() int64 { return int64(c.known.Len()) }},
		{Name: "cached_unknown", Help: "Names remembered as those of no user.", Gauge: func() int64 { return int64(c.unknown.Len()) }},
	}
}
