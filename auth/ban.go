package auth

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"silod/limit"
	"silod/mi"
)

// BanOptions are what Bans need. Zero values stand for the defaults given.
type BanOptions struct {
	Failures limit.Rate    // failed guesses that do not lead to a ban; 20 in 10 minutes
	For      time.Duration // duration of a ban; 10 minutes
	Capacity int           // sources with failures; 65536
	Log      *slog.Logger  // records each ban
	Now      func() time.Time
}

// Bans counts failed authentications by source, a limit.Network, and bans a source that
// has too many for a time. Success does not reset the count, or an attacker with one
// valid password could guess for ever. NewBans makes one.
type Bans struct {
	opt     BanOptions
	sources *limit.Table[limit.Network, offender]
	Stats   BanStats
}

// BanStats count the decisions of Bans.
type BanStats struct {
	Failures mi.Counter // failed guesses
	Bans     mi.Counter
	Refused  mi.Counter // requests of banned sources
}

// An offender is a source with failures.
type offender struct {
	failures limit.Bucket
	until    time.Time // the zero Time: not banned
}

// A Ban is a ban of a source.
type Ban struct {
	Source netip.Prefix
	Until  time.Time
}

// NewBans returns an empty list of bans.
func NewBans(opt BanOptions) *Bans {
	if opt.Failures.Unlimited() {
		opt.Failures = limit.Rate{N: 20, Per: 10 * time.Minute}
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
	b := &Bans{opt: opt}
	b.sources = limit.NewTable[limit.Network](opt.Capacity, func(o *offender, now time.Time) float64 {
		if o.banned(now) {
			return 1 + o.until.Sub(now).Seconds() // more than the failures of a source that is not banned
		}
		return o.failures.Fill(opt.Failures, now)
	})
	return b
}

func (o *offender) banned(now time.Time) bool { return now.Before(o.until) }

// fail counts a failed guess, and bans the source if that is one too many.
func (b *Bans) fail(source limit.Network) {
	now := b.opt.Now()
	b.Stats.Failures.Inc()
	banned := false
	b.sources.Update(source, now, func(o *offender) {
		if o.banned(now) {
			return // since this request arrived
		}
		if _, ok, _ := o.failures.Take(b.opt.Failures, now); !ok {
			*o = offender{until: now.Add(b.opt.For)}
			banned = true
		}
	})
	if banned {
		b.Stats.Bans.Inc()
		b.opt.Log.Warn("source banned for failed authentications", "source", source, "for", b.opt.For)
	}
}

// Banned reports whether requests from addr must be dropped and counted in Stats.Refused,
// unless the peer is trusted.
func (b *Bans) Banned(addr netip.Addr) bool {
	now := b.opt.Now()
	banned := false
	b.sources.Find(limit.NetworkOf(addr), func(o *offender) { banned = o.banned(now) })
	return banned
}

// List returns all bans, ordered by their end.
func (b *Bans) List() []Ban {
	now := b.opt.Now()
	found := b.sources.Select(func(_ limit.Network, o *offender) bool { return o.banned(now) })
	slices.SortFunc(found, func(x, y limit.Entry[limit.Network, offender]) int { return x.Value.until.Compare(y.Value.until) })
	bans := make([]Ban, len(found))
	for i, e := range found {
		bans[i] = Ban{e.Key.Prefix(), e.Value.until}
	}
	return bans
}

// Lift ends the ban of a source, resets its failures, and reports whether it was banned.
func (b *Bans) Lift(addr netip.Addr) bool {
	now := b.opt.Now()
	banned := false
	b.sources.Find(limit.NetworkOf(addr), func(o *offender) { banned, *o = o.banned(now), offender{} })
	return banned
}

// Counters returns the statistics of bans.
func (b *Bans) Counters() []mi.Stat {
	return []mi.Stat{
		{Name: "failed_guesses", Help: "Failed authentications counted against a source.", Counter: &b.Stats.Failures},
		{Name: "bans", Help: "Sources banned for too many failed authentications.", Counter: &b.Stats.Bans},
		{Name: "banned_requests", Help: "Requests dropped because their source is banned.", Counter: &b.Stats.Refused},
		{Name: "suspects", Help: "Sources with failed authentications.", Gauge: func() int64 { return int64(b.sources.Len()) }},
	}
}

// Commands returns the management commands for bans.
func (b *Bans) Commands() []mi.Command {
	return []mi.Command{
		{
			Name: "ban_list", Aliases: []string{"ban.list"},
			Help: "Lists the sources banned for failed authentications.", Run: b.list,
		},
		{
			Name: "ban_lift", Aliases: []string{"ban.lift"}, Args: "address", MinArgs: 1, MaxArgs: 1, Writes: true,
			Help: "Lifts the ban of a source.", Run: b.lift,
		},
	}
}

func (b *Bans) list(context.Context, *mi.Request) (*mi.Node, error) {
	now := b.opt.Now()
	n := &mi.Node{List: true}
	for _, ban := range b.List() {
		n.Add("BAN", nil,
			mi.Attr{Name: "address", Value: limit.NetworkOf(ban.Source.Addr()).String()},
			mi.Attr{Name: "until", Value: ban.Until.UTC().Format(time.RFC3339)},
			mi.Attr{Name: "seconds", Value: int(ban.Until.Sub(now).Seconds())})
	}
	return n, nil
}

func (b *Bans) lift(_ context.Context, req *mi.Request) (*mi.Node, error) {
	text, _, _ := strings.Cut(req.Arg(0), "/")
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return nil, mi.Errorf(400, "%.60q is not an address: use one that ban_list shows", req.Arg(0))
	}
	if !b.Lift(addr) {
		return nil, mi.Errorf(404, "%s is not banned", limit.NetworkOf(addr))
	}
	return &mi.Node{}, nil
}
