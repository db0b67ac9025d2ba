package imc

import (
	"sync"
	"time"

	"silod/sip"
)

// limiter limits how often a user may do something in a room. It has a token bucket
// for each user and room that fills up in one period.
type limiter struct {
	period time.Duration

	mu      sync.Mutex
	buckets map[userRoom]bucket
}

type userRoom struct{ user, room sip.AoR }

type bucket struct {
	tokens float64
	at     time.Time
	warned bool // the user was notified and has not got a token since
}

// maxBuckets limits memory. When the limiter is full of users above their limit, a new
// user is refused too.
const maxBuckets = 100_000

// take takes one of limit tokens a period; limit 0 means no limit. If none is left,
// wait is the time until there is one, and first reports whether the user must
// be notified.
func (l *limiter) take(user, room sip.AoR, limit int, now time.Time) (ok, first bool, wait time.Duration) {
	if limit <= 0 {
		return true, false, 0
	}
	size := float64(limit)
	perToken := l.period / time.Duration(limit)
	l.mu.Lock()
	defer l.mu.Unlock()
	key := userRoom{user, room}
	b, known := l.buckets[key]
	if !known {
		if len(l.buckets) >= maxBuckets {
			return false, false, perToken
		}
		b = bucket{tokens: size, at: now}
	}
	b.tokens = min(size, b.tokens+float64(max(0, now.Sub(b.at)))/float64(perToken))
	b.at = now
	if ok = b.tokens >= 1; ok {
		b.tokens--
		b.warned = false
	} else {
		wait = time.Duration((1 - b.tokens) * float64(perToken))
		first = !b.warned
		b.warned = true
	}
	if l.buckets == nil {
		l.buckets = make(map[userRoom]bucket)
	}
	l.buckets[key] = b
	return ok, first, wait
}

// removeFull removes the buckets that are full again.
func (l *limiter) removeFull(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, b := range l.buckets {
		if now.Sub(b.at) >= l.period {
			delete(l.buckets, key)
		}
	}
}
