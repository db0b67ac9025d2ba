package auth

import (
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// BanOptions are what Bans need. Zero values stand for the defaults given.
type BanOptions struct {
	// Failures is how many logins of a user may fail at one source, and how many users at one
	// source; 20 in 10 minutes.
	Failures limit.Rate

	// PerUser is how many logins of a user may fail in all, at sources from which the user has not
	// logged in lately; 100 in 10 minutes.
	PerUser limit.Rate

	For      time.Duration // duration of a ban; 10 minutes
	Capacity int           // entries of each table; 65536
	Log      *slog.Logger  // records each ban
	Now      func() time.Time
}

// Bans counts failed logins by source, a limit.Network, and by user: chargeOf has the rules. It
// bans a user at a source, or a whole source, for a time. Success does not reset a count, or an
// attacker with one valid password could guess for ever. NewBans makes one.
type Bans struct {
	opt      BanOptions
	pairs    *limit.Table[pair, offender]
	sources  *limit.Table[limit.Network, offender]
	users    *limit.Table[sip.AoR, limit.Bucket]
	tries    tries
	familiar *limit.Table[pair, time.Time] // last logins
	flows    *limit.Table[sip.Flow, visitors]
	Stats    BanStats
}

// BanStats count the decisions of Bans.
type BanStats struct {
	Failures mi.Counter // failed logins
	Bans     mi.Counter
	Refused  mi.Counter // requests of banned sources
	Logins   mi.Counter // refused without a test of the password
}

// An offender is a source, or a user at a source, with failures.
type offender struct {
	failures limit.Bucket
	last     time.Time // last failure
	until    time.Time // the zero Time: not banned
}

// sameUser is how long a user with failures at a source is not counted again as another user there.
const sameUser = 24 * time.Hour

// visitors are the users that logged in over a flow last.
type visitors struct {
	at    time.Time
	users [4]sip.AoR
}

// lately is how long a user is known at a source after a login.
const lately = 7 * 24 * time.Hour

// NewBans returns an empty list of bans.
func NewBans(opt BanOptions) *Bans {
	if opt.Failures.Unlimited() {
		opt.Failures = limit.Rate{N: 20, Per: 10 * time.Minute}
	}
	if opt.PerUser.Unlimited() {
		opt.PerUser = limit.Rate{N: 100, Per: 10 * time.Minute}
	}
	if opt.For == 0 {
		opt.For = 10 * time.Minute
	}
	if opt.Capacity == 0 {
		opt.Capacity = 1 << 16
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	worth := func(o *offender, now time.Time) float64 {
		if left := o.left(now); left > 0 {
			return 1 + left.Seconds() // more than the failures of one that is not banned
		}
		return o.failures.Fill(opt.Failures, now)
	}
	start := opt.Now()
	newer := func(t *time.Time, _ time.Time) float64 { return t.Sub(start).Seconds() }
	return &Bans{
		opt:      opt,
		pairs:    limit.NewTable[pair](opt.Capacity, worth),
		sources:  limit.NewTable[limit.Network](opt.Capacity, worth),
		users:    limit.NewTable[sip.AoR](opt.Capacity, func(b *limit.Bucket, now time.Time) float64 { return b.Fill(opt.PerUser, now) }),
		tries:    newTries(opt.Capacity, start),
		familiar: limit.NewTable[pair](opt.Capacity, newer),
		flows:    limit.NewTable[sip.Flow](opt.Capacity, func(v *visitors, now time.Time) float64 { return newer(&v.at, now) }),
	}
}

// left returns what is left of the ban.
func (o *offender) left(now time.Time) time.Duration {
	if o.until.IsZero() {
		return 0
	}
	return max(0, o.until.Sub(now))
}

// take counts a failure. It reports whether it is the first of sameUser, and whether it is the one
// too many that begins a ban.
func (o *offender) take(opt *BanOptions, now time.Time) (first, banned bool) {
	if o.left(now) > 0 {
		return false, false // since this request arrived
	}
	first = o.last.IsZero() || now.Sub(o.last) >= sameUser
	o.last = now
	if _, ok, _ := o.failures.Take(opt.Failures, now); !ok {
		*o = offender{last: now, until: now.Add(opt.For)}
		banned = true
	}
	return first, banned
}

// fail counts a failed login, and bans the user at the source, or the source, if that is one too
// many. The flow of a user that is banned there is forgotten: a thief may guess the new
// password over it. It is zero if it does not come from the source for certain.
func (b *Bans) fail(user sip.AoR, source limit.Network, flow sip.Flow, repeated bool) {
	now := b.opt.Now()
	f := failure{source: source, repeated: repeated}
	if !chargeOf(f).pair {
		return
	}
	b.Stats.Failures.Inc()
	p := pair{counted(user), source}
	f.familiar = b.isFamiliar(p, now)
	banned, already := false, false
	b.pairs.Update(p, now, func(o *offender) {
		already = o.left(now) > 0
		f.first, banned = o.take(&b.opt, now)
	})
	if banned || already {
		b.forget(p.user, flow)
	}
	if banned {
		b.Stats.Bans.Inc()
		b.opt.Log.Warn("user banned at a source for failed logins", "user", p.user, "source", source, "for", b.opt.For)
	}
	c := chargeOf(f)
	if c.user {
		b.users.Update(p.user, now, func(u *limit.Bucket) { u.Take(b.opt.PerUser, now) })
	}
	if !c.source {
		return
	}
	b.sources.Update(source, now, func(o *offender) { _, banned = o.take(&b.opt, now) })
	if banned {
		b.Stats.Bans.Inc()
		b.opt.Log.Warn("source banned for failed logins of many users", "source", source, "for", b.opt.For)
	}
}

// repeated notes a failed response to a nonce, and reports whether it is part of a login that was
// counted.
func (b *Bans) repeated(id nonceID, alg Algorithm, response string) bool {
	return b.tries.repeated(id, alg, response, b.opt.Now())
}

// link notes that a nonce continues a login that failed.
func (b *Bans) link(id nonceID) { b.tries.link(id, b.opt.Now()) }

// admit decides whether the password of a login is tested. The answer does not depend on whether
// the user exists. The flow is zero if it does not come from the source for certain.
func (b *Bans) admit(user sip.AoR, source limit.Network, flow sip.Flow) (Outcome, time.Duration) {
	if !source.IsValid() {
		return Accepted, 0
	}
	now := b.opt.Now()
	p := pair{counted(user), source}
	s := standing{familiar: b.isFamiliar(p, now)}
	b.flows.Find(remembered(flow), func(v *visitors) { s.connected = slices.Contains(v.users[:], p.user) })
	b.pairs.Find(p, func(o *offender) { s.pairBanned = o.left(now) })
	b.sources.Find(source, func(o *offender) { s.sourceBanned = o.left(now) })
	b.users.Find(p.user, func(u *limit.Bucket) { s.userFull = untilRoom(u, b.opt.PerUser, now) })
	outcome, wait := s.decide()
	if outcome != Accepted {
		b.Stats.Logins.Inc()
	}
	return outcome, wait
}

// untilRoom returns the time until a bucket has room for an event.
func untilRoom(b *limit.Bucket, r limit.Rate, now time.Time) time.Duration {
	probe := *b
	wait, _, _ := probe.Take(r, now)
	return wait
}

func (b *Bans) isFamiliar(p pair, now time.Time) bool {
	familiar := false
	b.familiar.Find(p, func(at *time.Time) { familiar = now.Sub(*at) < lately })
	return familiar
}

// Remember notes that a user has logged in over a flow. No ban of its source cuts off the flow,
// and no guesses of strangers delay the next logins of the user from there.
func (b *Bans) Remember(user sip.AoR, flow sip.Flow) {
	if flow.IsZero() {
		return
	}
	now, user := b.opt.Now(), counted(user)
	b.familiar.Update(pair{user, limit.NetworkOf(flow.Remote.Addr())}, now, func(at *time.Time) { *at = now })
	b.flows.Update(remembered(flow), now, func(v *visitors) {
		v.at = now
		if !slices.Contains(v.users[:], user) {
			copy(v.users[1:], v.users[:])
			v.users[0] = user
		}
	})
}

// forget notes that a flow is not one over which a user has logged in.
func (b *Bans) forget(user sip.AoR, flow sip.Flow) {
	b.flows.Find(remembered(flow), func(v *visitors) {
		if i := slices.Index(v.users[:], user); i >= 0 {
			v.users[i] = sip.AoR{}
		}
	})
}

// remembered returns the key of a flow: the local address of a datagram may differ.
func remembered(flow sip.Flow) sip.Flow {
	if !flow.Transport.Reliable() {
		flow.Local = netip.AddrPort{}
	}
	return flow
}

// Banned reports whether requests over a flow must be dropped and counted in Stats.Refused, unless
// the peer is trusted.
func (b *Bans) Banned(flow sip.Flow) bool {
	now := b.opt.Now()
	banned := false
	b.sources.Find(limit.NetworkOf(flow.Remote.Addr()), func(o *offender) { banned = o.left(now) > 0 })
	return banned && !b.flows.Find(remembered(flow), func(v *visitors) { v.at = now })
}

// Counters returns the statistics of bans.
func (b *Bans) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "failed_guesses", Help: "Failed logins that were counted against a user at a source.", Counter: &b.Stats.Failures},
		{Name: "bans", Help: "Bans of users at a source, and of sources, for too many failed logins.", Counter: &b.Stats.Bans},
		{Name: "banned_requests", Help: "Requests dropped because their source is banned.", Counter: &b.Stats.Refused},
		{Name: "banned_logins", Help: "Logins refused without a test of the password, because of failed ones before.", Counter: &b.Stats.Logins},
		{Name: "suspects", Help: "Users at a source with failed logins.", Gauge: func() int64 { return int64(b.pairs.Len()) }},
	}
}
