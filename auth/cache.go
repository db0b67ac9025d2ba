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

// CacheOptions are what a Cache needs. Zero values stand for the defaults given.
type CacheOptions struct {
	Size    int           // entries for users, and as many for unknown users; 65536
	Known   time.Duration // life of an entry for a user; 1 minute
	Unknown time.Duration // life of an entry for an unknown user; 15 seconds
	Now     func() time.Time
}

// A Cache keeps results of other Credentials, for unknown users too, and looks up each
// user only once at a time. A password that another program changes counts when the
// entry expires; after a change by this one, Invalidate must be called. Failed look-ups
// are not kept. NewCache makes one.
type Cache struct {
	from Credentials
	opt  CacheOptions
	// Two tables, so that a flood of invented names does not replace users.
	known, unknown *limit.Table[sip.AoR, cached]

	mu      sync.Mutex
	lookups map[sip.AoR]*lookup
	Stats   CacheStats
}

// lookupTimeout limits a look-up. If the database hangs, many wait for a few connections.
const lookupTimeout = 10 * time.Second

// maxWaiting limits how many requests wait for a look-up of one user. If the database hangs,
// requests of others need the goroutines that would wait.
const maxWaiting = 256

var errCrowded = errors.New("too many requests wait for the credentials of one user")

// CacheStats count look-ups in a Cache.
type CacheStats struct{ Hits, Misses mi.Counter }

// cached is the result of a look-up.
type cached struct {
	secret Secret
	err    error // nil, or ErrUnknownUser
	until  time.Time
	used   time.Time
}

// A lookup is a look-up in progress. Its fields are set when done is closed.
type lookup struct {
	done    chan struct{}
	waiting int // callers, besides the one that runs it; see Cache.mu
	secret  Secret
	err     error
	// canceled is set if the context of the caller that runs the look-up ended it. The
	// other callers then have no result.
	canceled bool
}

var _ Credentials = (*Cache)(nil)

// NewCache returns an empty cache of from.
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
		lookups: map[sip.AoR]*lookup{},
	}
}

// Lookup returns the secret of a user from the cache, or looks it up. It returns
// ErrUnknownUser for an unknown user.
func (c *Cache) Lookup(ctx context.Context, user sip.AoR) (Secret, error) {
	for {
		c.mu.Lock()
		if e, ok := c.find(user); ok {
			c.mu.Unlock()
			c.Stats.Hits.Inc()
			return e.secret, e.err
		}
		l, running := c.lookups[user]
		if running && l.waiting >= maxWaiting {
			c.mu.Unlock()
			return Secret{}, errCrowded
		}
		if running {
			l.waiting++
		} else {
			l = &lookup{done: make(chan struct{}), canceled: true}
			c.lookups[user] = l
		}
		c.mu.Unlock()
		if !running {
			c.Stats.Misses.Inc()
			c.run(ctx, user, l)
			return l.secret, l.err
		}
		select {
		case <-l.done:
			if !l.canceled {
				return l.secret, l.err
			}
		case <-ctx.Done():
			return Secret{}, ctx.Err()
		}
	}
}

// run runs a look-up. It closes l.done even if that panics.
func (c *Cache) run(ctx context.Context, user sip.AoR, l *lookup) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		// Not if Invalidate was called since: the secret may be the old one.
		if c.lookups[user] == l {
			delete(c.lookups, user)
			if !l.canceled {
				c.keep(user, l.secret, l.err)
			}
		}
		close(l.done)
	}()
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	l.secret, l.err = c.from.Lookup(limited, user)
	l.canceled = l.err != nil && ctx.Err() != nil
}

// find returns the entry of a user if it has not expired.
func (c *Cache) find(user sip.AoR) (found cached, ok bool) {
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

// keep adds an entry, unless err is neither nil nor ErrUnknownUser.
func (c *Cache) keep(user sip.AoR, s Secret, err error) {
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

// Invalidate removes the entry of a user after a change of the password.
func (c *Cache) Invalidate(user sip.AoR) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.lookups, user)
	c.known.Delete(user)
	c.unknown.Delete(user)
}

// Counters returns the statistics of the cache.
func (c *Cache) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "cache_hits", Help: "Credentials found in the cache.", Counter: &c.Stats.Hits},
		{Name: "cache_misses", Help: "Credentials looked up in the database.", Counter: &c.Stats.Misses},
		{Name: "cached_users", Help: "Users with credentials in the cache.", Gauge: func() int64 { return int64(c.known.Len()) }},
		{Name: "cached_unknown", Help: "Names of unknown users in the cache.", Gauge: func() int64 { return int64(c.unknown.Len()) }},
	}
}
