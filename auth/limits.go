package auth

import (
	"math"
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
// limit.Network. Datagrams, which may have a forged source, are counted apart from other requests, so
// that a flood of them shuts out no other sender. Requests that a trusted proxy forwards must not be
// counted for the proxy's address. NewLimits makes it.
type Limits struct {
	opt     LimitOptions
	sources atomic.Pointer[meters[sourceKey]]
	claims  atomic.Pointer[meters[pair]]
	users   atomic.Pointer[meters[sip.AoR]]
	Stats   LimitStats
}

// A sourceKey is a source of requests that are counted together.
type sourceKey struct {
	network limit.Network
	forged  bool // may be forged
}

// A Sender is what a request says of its sender before it is authenticated.
type Sender struct {
	Source netip.Addr
	User   sip.AoR // that it claims to be; zero: unknown
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
	l.sources.Store(&meters[sourceKey]{})
	l.claims.Store(&meters[pair]{})
	l.users.Store(&meters[sip.AoR]{})
	l.Configure(set)
	return l
}

// Configure changes the settings. The meter of a rate that does not change is kept.
func (l *Limits) Configure(set LimitSettings) {
	l.sources.Store(l.sources.Load().with(set.PerSource, l.opt.Capacity))
	l.users.Store(l.users.Load().with(set.PerUser, l.opt.Capacity))
	claims := make(map[string]limit.Rate, len(set.PerUser))
	for method, rate := range set.PerUser {
		claims[method] = claimRate(set.PerSource[method], rate)
	}
	l.claims.Store(l.claims.Load().with(claims, l.opt.Capacity))
}

// claimRate returns the part of the rate of a source that one user may take there: a quarter, or
// twice the rate of a user if that is more, because each request may follow one without
// credentials.
func claimRate(source, user limit.Rate) limit.Rate {
	if source.Unlimited() || user.Unlimited() {
		return limit.Rate{}
	}
	quarter := float64(source.N) / 4 * float64(user.Per) / float64(source.Per)
	return limit.Rate{N: max(2*user.N, int(min(quarter, math.MaxInt32))), Per: user.Per}
}

// Datagram takes one request of the method that came as a datagram, and may have a forged source.
// If that is one too many, wait is the value for Retry-After, and the caller either asks Source,
// because the source proves to be right, or counts the request in Stats.Sources.
func (l *Limits) Datagram(method string, source netip.Addr) (wait time.Duration, ok bool) {
	return l.sources.Load().take(method, sourceKey{limit.NetworkOf(source), true}, l.opt.Now())
}

// Source takes one request of the method from a source that is not forged. If that is one
// too many, wait is the value for Retry-After. A user that sends too many requests uses up the user's
// share only, and not the rate of the source.
func (l *Limits) Source(method string, from Sender) (wait time.Duration, ok bool) {
	now, network := l.opt.Now(), limit.NetworkOf(from.Source)
	if !from.User.IsZero() {
		if wait, ok = l.claims.Load().take(method, pair{counted(from.User), network}, now); !ok {
			l.Stats.Users.Inc()
			return wait, false
		}
	}
	if wait, ok = l.sources.Load().take(method, sourceKey{network, false}, now); !ok {
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
