package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"silod/auth"
	"silod/registrar"
	"silod/sip"
)

// buildCensus creates the part that finds accounts which are gone.
func (d *daemon) buildCensus() {
	d.census = auth.NewCensus(auth.CensusOptions{
		Ledger: d.database.Users(), Mark: d.database.AccountMark(), Log: d.log,
		Watching: d.knowsUsers,
		Scope:    d.accountScope,
		Each:     d.eachUser,
		Left:     func(a sip.AoR) bool { return d.location.Online(a) || d.rooms.HasUser(a) },
		Remove:   d.removeUser,
		Note:     func(ctx context.Context, a sip.AoR, begun bool) error { return d.rooms.NoteRemoval(ctx, a, begun) },
		Begun:    func() []sip.AoR { return d.rooms.Removals() },
	})
}

// knowsUsers reports whether all users have an account in the database.
func (d *daemon) knowsUsers() bool {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	return d.cfg.Auth.Mode == "digest" && d.applied.Silo.UnknownUsers != "store"
}

// accountScope returns a number for the settings that say which users are ours, and whether they have
// accounts. With a domain more, for instance, there are users that never had an account.
func (d *daemon) accountScope() int64 {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%+v %+v", d.names, d.applied.Auth.Trusted)
	return int64(h.Sum64() | 1)
}

// eachUser calls f for the users of ours that are registered or in rooms. With trusted peers any of
// them may be a user of a peer, who needs no account here.
func (d *daemon) eachUser(f func(user sip.AoR, standing auth.Standing)) {
	trusts := d.trustsPeers()
	each := func(a sip.AoR, standing auth.Standing) {
		if trusts {
			standing = auth.Vouched
		}
		if d.domains.Has(a.Domain) {
			f(a, standing)
		}
	}
	d.rooms.Users(func(a sip.AoR, placed bool) {
		standing := auth.Member
		if placed {
			standing = auth.Placed
		}
		each(a, standing)
	})
	d.location.Each(func(a sip.AoR, _ []registrar.Binding) bool {
		each(a, auth.Member)
		return true
	})
}

// trustsPeers reports whether peers may have users of their own.
func (d *daemon) trustsPeers() bool {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	return len(d.applied.Auth.Trusted) > 0
}

// removeUser removes all that a user without an account has. The contacts are first: they get
// nothing of what follows.
func (d *daemon) removeUser(ctx context.Context, a sip.AoR) error {
	d.forgetUser(a)
	err := d.location.RemoveAll(ctx, a)
	d.router.BindingsChanged(a)
	return errors.Join(err, d.rooms.RemoveAccount(ctx, a), d.silo.RemoveMailbox(ctx, a))
}

// forgetUser removes what is cached of an account that has changed.
func (d *daemon) forgetUser(a sip.AoR) {
	d.credentials.Invalidate(a)
	d.directory.Forget(a)
}
