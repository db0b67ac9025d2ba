package main

import (
	"context"
	"errors"
	"strings"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"silod/config"
	"silod/mi"
	"silod/sip"
)

// reload reads and checks the configuration file and applies it. After an error nothing
// has changed. It returns the keys that have changed, and those that will change with a
// restart: the latter are returned by every reload until then.
func (d *daemon) reload() ([]config.Change, error) {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	if d.file == "" {
		return nil, errors.New("silod was started without a configuration file")
	}
	next, err := load(d.file, d.cfg.Dirs)
	if err != nil {
		return nil, err
	}
	set, err := settingsOf(next, d.cfg.Auth.Mode)
	if err != nil {
		return nil, err
	}
	set.domains = d.domainNames(next)
	d.configure(set)
	changes := d.changes(next)
	d.applied = next
	d.log.Info("configuration reloaded", "changed", keys(changes, false), "restart_for", keys(changes, true))
	return changes, nil
}

// configure applies settings. It cannot fail, and takes no lock that requests wait for.
func (d *daemon) configure(set settings) {
	d.level.Set(set.logLevel)
	d.transport.Configure(set.transport)
	d.domains.Configure(set.domains)
	d.guard.Configure(set.policy)
	d.guard.Limits.Configure(set.limits)
	d.guard.Agents.Configure(set.blockedAgents...)
	d.location.Configure(set.registrar)
	d.proxy.Configure(set.proxy)
	d.mail.Configure(set.mail)
	d.roomMail.Configure(set.roomMail)
	d.engine.Configure(set.delivery)
	d.silo.Configure(set.silo)
	d.rooms.Configure(set.rooms)
	d.router.Configure(set.router)
	d.registry.Configure(set.registry)
	if d.fifo != nil {
		d.fifo.Configure(set.fifo)
	}
	if d.datagram != nil {
		d.datagram.Configure(set.datagram)
	}
}

// domainNames returns the names of the domains after a reload. A new main domain, other aliases
// and case_sensitive would give the users and rooms in memory other addresses, so they need a
// restart.
func (d *daemon) domainNames(next *config.Config) sip.DomainNames {
	if !d.movesUsers(next) {
		c := *d.cfg
		c.SIP.Domains = next.SIP.Domains
		d.names = c.DomainNames()
	}
	return d.names
}

// movesUsers reports whether a configuration has another main domain.
func (d *daemon) movesUsers(next *config.Config) bool {
	c := *d.cfg
	c.SIP.Domains = next.SIP.Domains
	return c.LocalDomains().Default() != d.domains.Default()
}

// changes returns the keys that differ from the last configuration and are applied by a
// reload, and those that differ from the first one and need a restart.
func (d *daemon) changes(next *config.Config) []config.Change {
	var now, later []config.Change
	for _, c := range config.Diff(d.applied, next) {
		if !d.needsRestart(c, next) {
			now = append(now, c)
		}
	}
	for _, c := range config.Diff(d.cfg, next) {
		if d.needsRestart(c, next) {
			later = append(later, config.Change{Key: c.Key, Restart: true})
		}
	}
	return append(now, later...)
}

// needsRestart reports whether a change needs a restart. A new main domain does, see
// domainNames, and so does the first trusted name, because only new listeners request
// certificates.
func (d *daemon) needsRestart(c config.Change, next *config.Config) bool {
	return c.Restart || c.Key == "sip.domains" && d.movesUsers(next) || c.Key == "auth.trusted" && namesPeers(next) && !namesPeers(d.cfg)
}

// keys returns the names of the changes that do or do not need a restart.
func keys(changes []config.Change, restart bool) string {
	var list []string
	for _, c := range changes {
		if c.Restart == restart {
			list = append(list, c.Key)
		}
	}
	return strings.Join(list, " ")
}

// reloadCommand runs the management command reload. The reply has each key that has
// changed, and whether the new value applies now or after a restart.
func (d *daemon) reloadCommand(context.Context) (*mi.Node, error) {
	changes, err := d.reload()
	if err != nil {
		return nil, mi.Errorf(400, "Nothing was changed: %v", err)
	}
	n := &mi.Node{List: true}
	for _, c := range changes {
		effect := "now"
		if c.Restart {
			effect = "restart"
		}
		n.Add("KEY", c.Key, mi.Attr{Name: "effect", Value: effect})
	}
	return n, nil
}

// reloadOnHangup reloads at every SIGHUP, logs the result, and notifies systemd.
func (d *daemon) reloadOnHangup(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.hangups:
			_, _ = sd.SdNotify(false, sd.SdNotifyReloading+"\n"+sd.SdNotifyMonotonicUsec())
			if _, err := d.reload(); err != nil {
				d.log.Error("configuration not reloaded, nothing was changed", "error", err)
			}
			_, _ = sd.SdNotify(false, sd.SdNotifyReady)
		}
	}
}
