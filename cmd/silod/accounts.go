package main

import (
	"context"
	"errors"

	"silod/auth"
	"silod/registrar"
	"silod/sip"
)

// buildCensus creates the part that finds accounts which are gone.
func (d *daemon) buildCensus() {
	d.census = auth.NewCensus(auth.CensusOptions{
		Ledger: d.database.Users(), Mark: d.database.AccountMark(), Log: d.log,
		Watching: d.knowsUsers,
		Each:     d.eachUser,
		Left:     func(a sip.AoR) bool { return d.location.Online(a) || d.rooms.HasUser(a) },
		Remove:   d.removeUser,
	})
}

// knowsUsers reports whether all users have an account in the database.
func (d *daemon) knowsUsers() bool {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	return d.cfg.Auth.Mode == "digest" && d.applied.Silo.UnknownUsers != "store"
}

// eachUser calls f for the users of ours that are registered or in rooms. With trusted peers any of
// them may be a user of a peer, who needs no account here.
func (d *daemon) eachUser(f func(user sip.AoR, vouched bool)) {
	trusts := len(d.cfg.Auth.Trusted) > 0
	each := func(a sip.AoR) {
		if d.domains.Has(a.Domain) {
			f(a, trusts)
		}
	}
	d.rooms.Users(each)
	d.location.Each(func(a sip.AoR, _ []registrar.Binding) bool {
		each(a)
		return true
	})
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
