package imc

import (
	"sync"
	"time"

	"silod/sip"
)

// limiter bounds how often a user may do something to a room: a bucket that holds
// what is possible in a period and fills up in one.
type limiter struct {
	period time.Duration

	mu      sync.Mutex
	buckets map[pair]bucket
}

type pair struct{ user, room sip.AoR }

type bucket struct {
	left   float64
	at     time.Time
	warned bool // the user has been told, and is not told again until there is room
}

// maxBuckets bounds the memory that strangers can take. Who comes when it is full
// of people who write more than they may has to wait too.
const maxBuckets = 100_000

// take asks for one time more, of which so many are possible in a period, 0 for any
// number. Where it is one too many, wait says how long to wait and first that the
// user has not been told yet.
func (l *limiter) take(user, room sip.AoR, possible int, now time.Time) (ok, first bool, wait time.Duration) {
	if possible <= 0 {
		return true, false, 0
	}
	most := float64(possible)
	fill := l.period / time.Duration(possible) // for one
	l.mu.Lock()
	defer l.mu.Unlock()
	key := pair{user, room}
	b, known := l.buckets[key]
	if !known {
		if len(l.buckets) >= maxBuckets {
			return false, false, fill
		}
		b = bucket{left: most, at: now}
	}
	b.left = min(most, b.left+float64(max(0, now.Sub(b.at)))/float64(fill))
	b.at = now
	if ok = b.left >= 1; ok {
		b.left--
		b.warned = false
	} else {
		wait = time.Duration((1 - b.left) * float64(fill))
		first = !b.warned
		b.warned = true
	}
	if l.buckets == nil {
		l.buckets = make(map[pair]bucket)
	}
	l.buckets[key] = b
	return ok, first, wait
}

// forget drops buckets that are full again.
func (l *limiter) forget(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, b := range l.buckets {
		if now.Sub(b.at) >= l.period {
			delete(l.buckets, key)
		}
	}
}
