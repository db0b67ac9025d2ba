package main

import (
	"context"
	"fmt"
	"time"

	"silod/config"
	"silod/fifo"
	"silod/mi"
	"silod/mi/socket"
)

// openManagement registers all commands and statistics, and opens the FIFO and the
// management sockets.
func (d *daemon) openManagement(ctx context.Context, set settings) error {
	d.registry = mi.NewRegistry(d.log)
	d.registry.Configure(set.registry)
	d.registry.YieldTo(d.transactions.Received)
	core := &mi.Core{
		Registry: d.registry, Name: "silod", Version: buildVersion(), Revision: revision(), Started: time.Now(), Level: d.level,
		Stop: d.stop, Reload: d.reloadCommand,
	}
	d.registry.Add(core.Commands()...)
	d.registry.Add(d.transport.Commands()...)
	d.registry.Add(d.location.Commands(d.domains, d.router.BindingsChanged)...)
	d.registry.Add(d.silo.Commands()...)
	d.registry.Add(d.rooms.Commands()...)
	d.registry.Add(d.proxy.Commands()...)
	d.registry.Add(d.accounts.Commands()...)
	d.registry.Add(d.guard.Bans.Commands(d.domains)...)
	d.registry.Add(d.hub.Commands()...)
	d.registry.Add(d.latencyCommand())
	d.registry.Add(d.clock.Commands()...)
	d.registry.Counters("clock", d.clock.Counters()...)
	d.registry.Counters("msilo", d.silo.Counters()...)
	d.registry.Counters("imc", d.rooms.Counters()...)
	d.registry.Counters("usrloc", d.location.Counters()...)
	d.registry.Counters("nat", d.proxy.Counters()...)
	d.registry.Counters("router", d.router.Counters()...)
	d.registry.Counters("auth", append(d.guard.Counters(), d.credentials.Counters()...)...)
	d.registry.Counters("watch", d.hub.Counters()...)
	d.registry.Counters("db", d.databaseGauge())
	d.registry.Counters("delivery", d.engine.Counters()...)
	d.registry.Counters("sip", d.transport.Counters()...)
	d.registry.Counters("db", mi.Stat{
		Name: "numbers_used_percent", Gauge: d.numbersUsed,
		Help: "Used part, in percent, of the numbers of rows of the table that is nearest to their end.",
	})
	for group, stats := range d.transactions.Counters() {
		d.registry.Counters(group, stats...)
	}
	return d.openManagementSockets(ctx, set)
}

// numbersUsed returns the highest percentage of used numbers of all databases.
func (d *daemon) numbersUsed() (most int64) {
	for _, b := range d.databases {
		most = max(most, b.NumbersUsed())
	}
	return most
}

func (d *daemon) openManagementSockets(ctx context.Context, set settings) error {
	m := d.cfg.MI
	if m.FIFOName != "" || m.SocketName != "" || m.ControlSocket != "" || m.ReadOnlySocket != "" {
		if err := config.MakeDir(d.cfg.Dirs.Runtime); err != nil {
			return err
		}
	}
	if m.FIFOName != "" {
		d.fifo = fifo.NewServer(fifo.Options{
			Registry: d.registry, Log: d.log, Path: m.FIFOName, ReplyDir: set.fifo.ReplyDir,
			Access: mi.Access{Mode: m.FIFOMode, User: m.FIFOUser, Group: m.FIFOGroup},
		})
		if err := d.fifo.Listen(); err != nil {
			return fmt.Errorf("mi.fifo_name: %w", err)
		}
	}
	if m.SocketName != "" {
		opt := d.socketOptions(m.SocketName)
		opt.Timeout = set.datagram.Timeout
		d.datagram = socket.NewDatagram(opt)
		if err := d.datagram.Listen(ctx); err != nil {
			return fmt.Errorf("mi.socket_name: %w", err)
		}
	}
	if m.ControlSocket != "" {
		opt := d.socketOptions(m.ControlSocket)
		opt.MaxRequest = max(1<<20, 8*d.cfg.SIP.MaxMessageSize) // escaped twice, a message is several times as long
		d.control = socket.NewControl(opt)
		if err := d.control.Listen(ctx); err != nil {
			return fmt.Errorf("mi.control_socket: %w", err)
		}
	}
	if m.ReadOnlySocket != "" {
		opt := d.socketOptions(m.ReadOnlySocket)
		opt.ReadOnly = true
		opt.Access = mi.Access{Mode: m.ReadOnlySocketMode, Group: m.ReadOnlySocketGroup}
		d.readOnly = socket.NewControl(opt)
		if err := d.readOnly.Listen(ctx); err != nil {
			return fmt.Errorf("mi.read_only_socket: %w", err)
		}
	}
	return nil
}

// socketOptions returns the options that the management sockets have in common.
func (d *daemon) socketOptions(path string) socket.Options {
	m := d.cfg.MI
	access := mi.Access{Mode: m.UnixSocketMode, User: m.UnixSocketUser, Group: m.UnixSocketGroup}
	return socket.Options{Registry: d.registry, Log: d.log, Path: path, Access: access}
}
