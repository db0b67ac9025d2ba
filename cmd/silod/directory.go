package main

import (
	"context"

	"silod/router"
	"silod/silo"
	"silod/sip"
)

// exists returns the function that reports whether an AoR of ours is a user. It is nil if
// users are not known, because they need no password.
func (d *daemon) exists() func(context.Context, sip.AoR) (bool, error) {
	if d.cfg.Auth.Mode != "digest" {
		return nil
	}
	return func(ctx context.Context, a sip.AoR) (bool, error) {
		if d.location.Online(a) { // also where a trusted proxy has registered it
			return true, nil
		}
		return d.directory.Exists(ctx, a)
	}
}

// A roomPolicy is the imc.Policy of the daemon.
type roomPolicy struct {
	guard *router.Guard
	users *silo.Service
}

func (p roomPolicy) Exists(ctx context.Context, a sip.AoR) (bool, error) {
	return p.users.IsUser(ctx, a)
}

func (p roomPolicy) Relays() bool { return p.guard.Relays() }

func (p roomPolicy) Strangers() bool { return p.guard.Strangers() }

// warnWithoutUsers warns if messages for users are refused because silod does not know any: those
// behind a proxy, for example.
func (d *daemon) warnWithoutUsers(ctx context.Context) {
	if d.cfg.Auth.Mode != "digest" || d.cfg.Silo.UnknownUsers == "store" || len(d.cfg.Auth.Trusted) == 0 {
		return
	}
	for user, err := range d.database.Users().Users(ctx) {
		if err != nil || !user.AoR.IsZero() {
			return
		}
	}
	d.log.Warn("no users are known, so that messages for those who are not registered are not stored",
		"key", "silo.unknown_users", "set", "store")
}

// findUser reports whether an AoR has a password, an alias or stored messages.
func (d *daemon) findUser(ctx context.Context, a sip.AoR) (bool, error) {
	ok, err := d.database.Users().Exists(ctx, a)
	if ok || err != nil {
		return ok, err
	}
	for _, err := range d.siloDB.Messages().List(ctx, silo.Query{Owner: a, Both: true, Limit: 1}) {
		return err == nil, err
	}
	return false, nil
}

// addresses returns the other addresses of a user, as imc.Options.Addresses. They matter only
// where users log in: else every sender may claim any address.
func (d *daemon) addresses(ctx context.Context, a sip.AoR) (accounts, aliases []sip.AoR, err error) {
	if d.cfg.Auth.Mode != "digest" {
		return nil, nil, nil
	}
	return d.database.Users().Addresses(ctx, a)
}
