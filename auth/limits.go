package auth

import (
	"net/netip"
	"sync/atomic"
	"time"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// LimitOptions are what Limits need. Zero values stand for the defaults given.
type LimitOptions struct {
	Capacity int // sources, and users, per rate; 65536
	Now      func() time.Time
}

// LimitSettings are the rates of requests by their method. The rate of "" is for all
// methods without one of their own, together. A zero rate permits any number.
type LimitSettings struct {
	PerSource map[string]limit.Rate // of one network
	PerUser   map[string]limit.Rate // of one authenticated user
}

// Limits limits how often one source, and one user, may send requests. A source is a
// limit.Network. Requests that a trusted proxy forwards must not be counted for the
// proxy's address. NewLimits makes it.
type Limits struct {
	opt     LimitOptions
	sources atomic.Pointer[meters[limit.Network]]
	users   atomic.Pointer[meters[sip.AoR]]
	Stats   LimitStats
}

// LimitStats count the requests that were too many.
type LimitStats struct{ Sources, Users mi.Counter }

// NewLimits returns Limits with these settings.
func NewLimits(opt LimitOptions, set LimitSettings) *Limits {
	if opt.Capacity == 0 {
		opt.Capacity = 1 << 16
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &Limits{opt: opt}
	l.sources.Store(&meters[limit.Network]{})
	l.users.Store(&meters[sip.AoR]{})
	l.Configure(set)
	return l
}

// Configure changes the settings. The meter of a rate that does not change is kept.
func (l *Limits) Configure(set LimitSettings) {
	l.sources.Store(l.sources.Load().with(set.PerSource, l.opt.Capacity))
	l.users.Store(l.users.Load().with(set.PerUser, l.opt.Capacity))
}

// Source takes one request of the method from addr. If that is one too many, wait is the
// value for Retry-After.
func (l *Limits) Source(method string, addr netip.Addr) (wait time.Duration, ok bool) {
	wait, ok = l.sources.Load().take(method, limit.NetworkOf(addr), l.opt.Now())
	if !ok {
		l.Stats.Sources.Inc()
	}
	return wait, ok
}

// User takes one request of the method from an authenticated user. If that is one too
// many, wait is the value for Retry-After.
func (l *Limits) User(method string, user sip.AoR) (wait time.Duration, ok bool) {
	wait, ok = l.users.Load().take(method, user, l.opt.Now())
	if !ok {
		l.Stats.Users.Inc()
	}
	return wait, ok
}

// Counters returns the limits' statistics.
func (l *Limits) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "limited_sources", Help: "Requests refused because their source exceeded its rate.", Counter: &l.Stats.Sources},
		{Name: "limited_users", Help: "Requests refused because their user exceeded a rate.", Counter: &l.Stats.Users},
		{Name: "metered_sources", Help: "Sources with counted requests, once for each limit.", Gauge: func() int64 { return l.sources.Load().len() }},
		{Name: "metered_users", Help: "Users with counted requests, once for each limit.", Gauge: func() int64 { return l.users.Load().len() }},
	}
}

// meters are the meters of one kind of keys, by method. They are not changed while they
// are in use.
type meters[K comparable] map[string]meter[K]

// A meter is a limit.Meter and the rate that it measures.
type meter[K comparable] struct {
	rate    limit.Rate
	counted *limit.Meter[K] // nil if the rate is unlimited
}

// with returns the meters for other rates.
func (ms meters[K]) with(rates map[string]limit.Rate, capacity int) *meters[K] {
	next := make(meters[K], len(rates))
	for method, rate := range rates {
		m := ms[method]
		if m.rate != rate || m.counted == nil {
			m = meter[K]{rate: rate}
			if !rate.Unlimited() {
				m.counted = limit.NewMeter[K](capacity, limit.EvictLeast)
			}
		}
		next[method] = m
	}
	return &next
}

func (ms meters[K]) take(method string, k K, now time.Time) (wait time.Duration, ok bool) {
	m, own := ms[method]
	if !own {
		m = ms[""]
	}
	if m.counted == nil {
		return 0, true
	}
	wait, ok, _ = m.counted.Take(k, m.rate, now)
	return wait, ok
}

// len returns the number of keys in all meters.
func (ms meters[K]) len() int64 {
	n := 0
	for _, m := range ms {
		if m.counted != nil {
			n += m.counted.Len()
		}
	}
	return int64(n)
}
