package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"silod/config"
	"silod/mi"
)

// An applier makes ready what a part of the daemon takes from a configuration. As
// long as one of them fails nothing has changed; what they give brings the new
// values into effect, cannot fail, and takes no lock that requests wait for.
type applier func(*config.Config) (apply func(), err error)

// appliers are for all keys that a reload is enough for.
func (d *daemon) appliers() []applier {
	return []applier{
		d.applyCertificate, d.applyProxy, d.applySenders, d.applyRooms,
		always(func(cfg *config.Config) { d.domains.Replace(domains(cfg, d.transport.Endpoints())...) }),
		always(func(cfg *config.Config) { d.router.Configure(routerSettings(cfg)) }),
		always(func(cfg *config.Config) { d.location.Configure(registrarSettings(cfg)) }),
		always(func(cfg *config.Config) { d.silo.Configure(siloSettings(cfg)) }),
		always(d.configureGuard),
		always(d.configureManagement),
		always(func(cfg *config.Config) { _ = d.level.UnmarshalText([]byte(cfg.Log.Level)) }),
	}
}

// always is for what no checked configuration can be wrong for.
func always(configure func(*config.Config)) applier {
	return func(cfg *config.Config) (func(), error) { return func() { configure(cfg) }, nil }
}

// reload reads the configuration again, whole and checked before anything of it
// counts, and tells what has changed. The keys that wait for a restart are told at
// every reload until then.
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
	var apply []func()
	for _, prepare := range d.appliers() {
		f, err := prepare(next)
		if err != nil {
			return nil, err
		}
		apply = append(apply, f)
	}
	for _, f := range apply {
		f()
	}
	changes := d.changes(next)
	d.applied = next
	d.log.Info("configuration reloaded", "changed", keys(changes, false), "restart_for", keys(changes, true))
	return changes, nil
}

// changes are the keys that have come into effect now, and those that differ from
// what the daemon was started with.
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

// needsRestart: to ask clients for certificates takes other listeners.
func (d *daemon) needsRestart(c config.Change, next *config.Config) bool {
	return c.Restart || c.Key == "auth.trusted" && namesPeers(next) && !namesPeers(d.cfg)
}

func keys(changes []config.Change, restart bool) string {
	var list []string
	for _, c := range changes {
		if c.Restart == restart {
			list = append(list, c.Key)
		}
	}
	return strings.Join(list, " ")
}

// applyCertificate reads the files again, whether their names have changed or not.
func (d *daemon) applyCertificate(cfg *config.Config) (func(), error) {
	if cfg.SIP.TLSCertificate == "" {
		return func() {}, nil
	}
	c, err := tls.LoadX509KeyPair(cfg.SIP.TLSCertificate, cfg.SIP.TLSPrivateKey)
	if err != nil {
		return nil, fmt.Errorf("sip.tls_certificate: %w", err)
	}
	return func() { d.transport.SetCertificate(&c) }, nil
}

func (d *daemon) applyProxy(cfg *config.Config) (func(), error) {
	set, err := proxySettings(cfg)
	return func() { d.proxy.Configure(set) }, err
}

// applySenders applies the next hops of messages of the silo and of the rooms.
func (d *daemon) applySenders(cfg *config.Config) (func(), error) {
	mail, rooms, err := senderSettings(cfg)
	return func() {
		d.mail.Configure(mail)
		d.roomMail.Configure(rooms)
	}, err
}

func (d *daemon) applyRooms(cfg *config.Config) (func(), error) {
	set, err := roomSettings(cfg)
	return func() { d.rooms.Configure(set) }, err
}

func (d *daemon) configureManagement(cfg *config.Config) {
	d.registry.SetIndent(cfg.MI.ReplyIndent)
	if d.fifo != nil {
		d.fifo.SetReplyDir(cfg.MI.ReplyDir)
	}
	if d.datagram != nil {
		d.datagram.SetTimeout(time.Duration(cfg.MI.SocketTimeout) * time.Millisecond)
	}
}

// reloadCommand answers the management command reload: each key that has changed,
// and whether its new value counts now or from the next start on.
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

// reloadOnHangup reloads at every SIGHUP, and tells systemd when it is done. What
// came of it is in the log.
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
