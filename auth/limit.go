package auth

import (
	"net/netip"
	"sync/atomic"
	"time"

	"silod/mi"
	"silod/sip"
)

// Rate is how often something may happen: N times at once, and N times in each Per
// in the long run. The zero Rate is no limit.
type Rate struct {
	N   int
	Per time.Duration
}

func (r Rate) unlimited() bool { return r.N <= 0 || r.Per <= 0 }

// bucket holds what happened, and leaks at a Rate. The zero bucket is empty.
type bucket struct {
	level float64
	at    time.Time
}

func (b *bucket) leak(r Rate, now time.Time) {
	passed := max(0, now.Sub(b.at)) // a clock can be set back
	b.level = max(0, b.level-float64(r.N)*passed.Seconds()/r.Per.Seconds())
	b.at = now
}

// fill is how full the bucket is: 1 and more is too much.
func (b bucket) fill(r Rate, now time.Time) float64 {
	if r.unlimited() {
		return 0
	}
	b.leak(r, now)
	return b.level / float64(r.N)
}

// take puts one in. Where that is one too many, wait says how long until it is not.
func (b *bucket) take(r Rate, now time.Time) (wait time.Duration, ok bool) {
	b.leak(r, now)
	if over := b.level + 1 - float64(r.N); over > 0 {
		return time.Duration(over / float64(r.N) * float64(r.Per)), false
	}
	b.level++
	return 0, true
}

// meter counts events of one kind by who caused them. Where there are more of those
// than it has room for, it forgets who caused least: being forgotten, and so allowed a
// new burst, cannot be had by asking more, nor by asking from more addresses.
type meter[K comparable] struct {
	rate    Rate
	buckets *table[K, bucket]
}

func newMeter[K comparable](rate Rate, capacity int) *meter[K] {
	worth := func(b *bucket, now time.Time) float64 { return b.fill(rate, now) }
	return &meter[K]{rate, newTable[K](capacity, worth)}
}

func (m *meter[K]) take(k K, now time.Time) (wait time.Duration, ok bool) {
	m.buckets.update(k, now, func(b *bucket) { wait, ok = b.take(m.rate, now) })
	return wait, ok
}

// LimitOptions are the rates of requests by their method. The rate of "" is for all
// methods that have none of their own, together.
type LimitOptions struct {
	PerSource map[string]Rate // of one network
	PerUser   map[string]Rate // of one authenticated user
	Capacity  int             // sources remembered for each rate, and users; 65536
	Now       func() time.Time
}

// Limits limits how often one source, and one user, may send requests. A source is a
// single IPv4 address, or the /64 of an IPv6 one; what comes by way of a trusted proxy
// is not to be counted by the proxy's. Make it with NewLimits.
type Limits struct {
	now      func() time.Time
	capacity int
	sources  atomic.Pointer[map[string]*meter[network]]
	users    atomic.Pointer[map[string]*meter[sip.AoR]]
	Stats    LimitStats
}

// LimitStats count the requests that were too many.
type LimitStats struct{ Sources, Users mi.Counter }

// NewLimits makes limits.
func NewLimits(opt LimitOptions) *Limits {
	if opt.Capacity == 0 {
		opt.Capacity = 1 << 16
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &Limits{now: opt.Now, capacity: opt.Capacity}
	l.sources.Store(&map[string]*meter[network]{})
	l.users.Store(&map[string]*meter[sip.AoR]{})
	l.Configure(opt.PerSource, opt.PerUser)
	return l
}

// Configure takes other rates from now on. What was counted for one that stays the
// same goes on counting.
func (l *Limits) Configure(perSource, perUser map[string]Rate) {
	l.sources.Store(meters(*l.sources.Load(), perSource, l.capacity))
	l.users.Store(meters(*l.users.Load(), perUser, l.capacity))
}

func meters[K comparable](old map[string]*meter[K], rates map[string]Rate, capacity int) *map[string]*meter[K] {
	ms := map[string]*meter[K]{}
	for method, rate := range rates {
		switch m := old[method]; {
		case rate.unlimited():
			ms[method] = nil // no limit, and not the one of ""
		case m != nil && m.rate == rate:
			ms[method] = m
		default:
			ms[method] = newMeter[K](rate, capacity)
		}
	}
	return &ms
}

// meterOf is the meter of a method; nil: no limit.
func meterOf[K comparable](ms *map[string]*meter[K], method string) *meter[K] {
	if m, own := (*ms)[method]; own {
		return m
	}
	return (*ms)[""]
}

// Source asks for one request of the method from addr. Where that is one too many,
// wait is what Retry-After may say.
func (l *Limits) Source(method string, addr netip.Addr) (wait time.Duration, ok bool) {
	m := meterOf(l.sources.Load(), method)
	if m == nil {
		return 0, true
	}
	if wait, ok = m.take(networkOf(addr), l.now()); !ok {
		l.Stats.Sources.Inc()
	}
	return wait, ok
}

// User asks for one request of the method from an authenticated user.
func (l *Limits) User(method string, user sip.AoR) (wait time.Duration, ok bool) {
	m := meterOf(l.users.Load(), method)
	if m == nil {
		return 0, true
	}
	if wait, ok = m.take(user, l.now()); !ok {
		l.Stats.Users.Inc()
	}
	return wait, ok
}

// Counters are the limits' statistics.
func (l *Limits) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "limited_sources", Help: "Requests refused because their source sent too many.", Counter: &l.Stats.Sources},
		{Name: "limited_users", Help: "Requests refused because their user sent too many.", Counter: &l.Stats.Users},
		{Name: "metered_sources", Help: "Sources whose requests are counted, once for each limit.", Gauge: func() int64 { return metered(*l.sources.Load()) }},
		{Name: "metered_users", Help: "Users whose requests are counted, once for each limit.", Gauge: func() int64 { return metered(*l.users.Load()) }},
	}
}

func metered[K comparable](ms map[string]*meter[K]) int64 {
	n := 0
	for _, m := range ms {
		if m != nil {
			n += m.buckets.len()
		}
	}
	return int64(n)
}
