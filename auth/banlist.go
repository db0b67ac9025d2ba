package auth

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"silod/limit"
	"silod/mi"
	"silod/sip"
)

// A Ban is a ban of a user at a source, of a source, or of a user at all sources from which the
// user has not logged in lately.
type Ban struct {
	Source netip.Prefix // the zero Prefix: all but those
	User   sip.AoR      // zero: the whole source
	Until  time.Time
}

// List returns all bans, ordered by their end.
func (b *Bans) List() []Ban {
	now := b.opt.Now()
	var bans []Ban
	for _, e := range b.pairs.Select(func(_ pair, o *offender) bool { return o.left(now) > 0 }) {
		bans = append(bans, Ban{e.Key.source.Prefix(), e.Key.user, e.Value.until})
	}
	for _, e := range b.sources.Select(func(_ limit.Network, o *offender) bool { return o.left(now) > 0 }) {
		bans = append(bans, Ban{Source: e.Key.Prefix(), Until: e.Value.until})
	}
	full := func(_ sip.AoR, u *limit.Bucket) bool { return untilRoom(u, b.opt.PerUser, now) > 0 }
	for _, e := range b.users.Select(full) {
		bans = append(bans, Ban{User: e.Key, Until: now.Add(untilRoom(&e.Value, b.opt.PerUser, now))})
	}
	slices.SortFunc(bans, func(x, y Ban) int { return x.Until.Compare(y.Until) })
	return bans
}

// Lift ends bans and resets the failures that led to them: of a user at a source, or of the source
// and of all users there if user is zero, or of a user everywhere if source is zero. It reports
// whether there was a ban.
func (b *Bans) Lift(source netip.Addr, user sip.AoR) bool {
	now := b.opt.Now()
	network, user := limit.NetworkOf(source), counted(user)
	lifted := false
	b.pairs.DeleteFunc(func(p pair, o *offender) bool {
		hit := (p.source == network || !source.IsValid()) && (p.user == user || user.IsZero())
		lifted = lifted || hit && o.left(now) > 0
		return hit
	})
	if user.IsZero() {
		b.sources.Find(network, func(o *offender) { lifted, *o = lifted || o.left(now) > 0, offender{} })
	}
	if !source.IsValid() {
		b.users.Find(user, func(u *limit.Bucket) {
			lifted, *u = lifted || untilRoom(u, b.opt.PerUser, now) > 0, limit.Bucket{}
		})
	}
	return lifted
}

// Commands returns the management commands for bans.
func (b *Bans) Commands(domains sip.Domains) []mi.Command {
	return []mi.Command{
		{
			Name: "ban_list", Aliases: []string{"ban.list"},
			Help: "Lists the users and sources that are banned for failed logins.", Run: b.list,
		},
		{
			Name: "ban_lift", Aliases: []string{"ban.lift"}, Args: "address [user]", MinArgs: 1, MaxArgs: 2, Writes: true,
			Help: "Lifts the bans of an address and of all users there, or of one user there; the address any stands for all.",
			Run:  func(_ context.Context, req *mi.Request) (*mi.Node, error) { return b.lift(domains, req) },
		},
	}
}

// anyAddress stands for all addresses in lists of bans.
const anyAddress = "any"

func (b *Bans) list(context.Context, *mi.Request) (*mi.Node, error) {
	now := b.opt.Now()
	n := &mi.Node{List: true}
	for _, ban := range b.List() {
		address, user := anyAddress, ""
		if ban.Source.IsValid() {
			address = limit.NetworkOf(ban.Source.Addr()).String()
		}
		if !ban.User.IsZero() {
			user = ban.User.String()
		}
		n.Add("BAN", nil,
			mi.Attr{Name: "address", Value: address},
			mi.Attr{Name: "user", Value: user},
			mi.Attr{Name: "until", Value: ban.Until.UTC().Format(time.RFC3339)},
			mi.Attr{Name: "seconds", Value: int(ban.Until.Sub(now).Seconds())})
	}
	return n, nil
}

func (b *Bans) lift(domains sip.Domains, req *mi.Request) (*mi.Node, error) {
	var addr netip.Addr
	var user sip.AoR
	var err error
	if req.Arg(0) != anyAddress {
		text, _, _ := strings.Cut(req.Arg(0), "/")
		if addr, err = netip.ParseAddr(strings.Trim(text, "[]")); err != nil {
			return nil, mi.Errorf(400, "%.60q is not an address: use one that ban_list shows", req.Arg(0))
		}
	}
	if len(req.Args) > 1 {
		if user, _, err = domains.Parse(req.Arg(1)); err != nil {
			return nil, mi.Errorf(400, "Bad user, %v", err)
		}
	}
	switch {
	case !addr.IsValid() && user.IsZero():
		return nil, mi.Errorf(400, "A user is required with the address any")
	case b.Lift(addr, user):
		return &mi.Node{}, nil
	case user.IsZero():
		return nil, mi.Errorf(404, "%s is not banned", limit.NetworkOf(addr))
	case !addr.IsValid():
		return nil, mi.Errorf(404, "%s is not banned", user)
	}
	return nil, mi.Errorf(404, "%s is not banned at %s", user, limit.NetworkOf(addr))
}
