package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"silod/auth"
	"silod/config"
	"silod/limit"
	"silod/router"
	"silod/sip"
)

// guard makes what decides who may do what.
func (d *daemon) openGuard(ctx context.Context) error {
	a := d.cfg.Auth
	users := d.database.Users()
	if a.Mode == "digest" {
		// A table that cannot be read is better known now than at the first REGISTER.
		_, err := users.Lookup(ctx, sip.AoR{User: "silod", Domain: "invalid"})
		if err != nil && !errors.Is(err, auth.ErrUnknownUser) {
			return fmt.Errorf("auth.mode: users cannot be looked up: %w", err)
		}
	}
	secret, err := nonceSecret(a.NonceSecretFile)
	if err != nil {
		return fmt.Errorf("auth.nonce_secret_file: %w", err)
	}
	bans := auth.NewBans(auth.BanOptions{Failures: limit.Rate(a.Failures), For: a.BanTime, Log: d.log})
	d.credentials = auth.NewCache(users, auth.CacheOptions{})
	opt := auth.Options{
		Credentials: d.credentials, Domains: d.domains, Secret: secret, Bans: bans,
		Life: a.NonceLife, LegacyLife: a.LegacyNonceLife,
	}
	if opt.LegacyLife == 0 {
		opt.LegacyLife = -1 // 0 stands for the default there
	}
	for _, name := range a.Algorithms {
		opt.Algorithms = append(opt.Algorithms, auth.Algorithm(name))
	}
	digest, err := auth.New(opt)
	if err != nil {
		return fmt.Errorf("auth: %w", err)
	}
	d.guard = router.NewGuard(router.GuardOptions{
		Digest: a.Mode == "digest", Auth: digest, Bans: bans, Realm: a.Realm,
		Agents: auth.NewAgents(a.BlockedAgents...), Limits: auth.NewLimits(auth.LimitOptions{}, d.limits(d.cfg)),
		Identity: auth.NewIdentity(users.Aliases),
	}, policy(d.cfg))
	d.accounts = auth.NewAccounts(auth.AccountOptions{
		Users: users, Domains: d.domains, Realm: d.guard.RealmOf, Changed: d.credentials.Invalidate,
	})
	return nil
}

// configureGuard brings into effect what a reload may change.
func (d *daemon) configureGuard(cfg *config.Config) {
	d.guard.Agents.Configure(cfg.Auth.BlockedAgents...)
	d.guard.Limits.Configure(d.limits(cfg))
	d.guard.Configure(policy(cfg))
}

func policy(cfg *config.Config) router.Policy {
	return router.Policy{
		Trust:     auth.NewTrust(peers(cfg)...),
		Relay:     relays[cfg.Auth.Relay],
		Strangers: strangers[cfg.Auth.Strangers],
	}
}

// The words of auth.relay and auth.strangers.
var (
	relays = map[string]router.Relay{
		"nobody": router.RelayNobody, "trusted": router.RelayTrusted, "authenticated": router.RelayAuthenticated,
	}
	strangers = map[string]router.Strangers{
		"nobody": router.StrangersRefused, "users": router.StrangersToUsers, "all": router.StrangersToAll,
	}
)

// limits are the rates of sources and of users. Where everybody may do everything,
// only those count that somebody has set.
func (d *daemon) limits(cfg *config.Config) auth.LimitSettings {
	rate := func(key string, r config.Rate) limit.Rate {
		if d.cfg.Auth.Mode != "digest" && !cfg.IsSet(key) {
			return limit.Rate{}
		}
		return limit.Rate(r)
	}
	a := cfg.Auth
	return auth.LimitSettings{
		PerSource: map[string]limit.Rate{
			"REGISTER": rate("auth.source_registers", a.SourceRegisters),
			"MESSAGE":  rate("auth.source_messages", a.SourceMessages),
			"":         rate("auth.source_others", a.SourceOthers),
		},
		PerUser: map[string]limit.Rate{
			"REGISTER": rate("auth.user_registers", a.UserRegisters),
			"MESSAGE":  rate("auth.user_messages", a.UserMessages),
		},
	}
}

func peers(cfg *config.Config) []auth.Peer {
	list := make([]auth.Peer, len(cfg.Auth.Trusted))
	for i, p := range cfg.Auth.Trusted {
		list[i].Rights = auth.Rights{Relay: p.Relay, AssertIdentity: p.Identity, Challenge: p.Digest}
		if p.Name != "" {
			list[i].Names = []string{p.Name}
		} else {
			list[i].Networks = []netip.Prefix{p.Network.Prefix}
		}
	}
	return list
}

// nonceSecret reads the secret that nodes share; nil where they do not.
func nonceSecret(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("everybody can read %s, and make nonces with it: chmod 640", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return nil, fmt.Errorf("%s is empty: `openssl rand -hex 32` makes a secret", file)
	}
	return b, nil
}

// clientCAs are whose certificates name trusted peers; nil where none is trusted by
// a name.
func clientCAs(cfg *config.Config) (*x509.CertPool, error) {
	if !namesPeers(cfg) {
		return nil, nil
	}
	if cfg.Auth.TrustedCA == "" {
		return x509.SystemCertPool()
	}
	pem, err := os.ReadFile(cfg.Auth.TrustedCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", cfg.Auth.TrustedCA)
	}
	return pool, nil
}

// namesPeers tells whether somebody is trusted by the name in a certificate.
func namesPeers(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Auth.Trusted, func(p config.Peer) bool { return p.Name != "" })
}
