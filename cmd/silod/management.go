package main

import (
	"context"
	"fmt"
	"time"

	"silod/config"
	"silod/fifo"
	"silod/mi"
)

// openManagement registers every command and statistic, and opens the FIFO and
// the sockets that serve them.
func (d *daemon) openManagement(ctx context.Context) error {
	d.registry = mi.NewRegistry(d.log)
	core := &mi.Core{
		Registry: d.registry, Name: "silod", Version: buildVersion(), Started: time.Now(), Level: d.level,
		Stop: func() { d.stop() }, Reload: d.reload,
	}
	d.registry.Add(core.Commands()...)
	d.registry.Add(d.location.Commands(d.domains)...)
	d.registry.Add(d.silo.Commands(d.domains)...)
	d.registry.Add(d.rooms.Commands()...)
	d.registry.Add(d.router.Commands()...)
	d.registry.Add(d.accounts.Commands()...)
	d.registry.Add(d.guard.Bans.Commands()...)
	d.registry.Counters("msilo", d.silo.Counters()...)
	d.registry.Counters("imc", d.rooms.Counters()...)
	d.registry.Counters("usrloc", d.location.Counters()...)
	d.registry.Counters("router", d.router.Counters()...)
	d.registry.Counters("auth", append(d.guard.Counters(), d.credentials.Counters()...)...)
	d.registry.Counters("delivery", d.engine.Counters()...)
	for group, stats := range d.stack.Counters() {
		d.registry.Counters(group, stats...)
	}
	return d.openManagementSockets(ctx)
}

func (d *daemon) openManagementSockets(ctx context.Context) error {
	m := d.cfg.MI
	if m.FIFOName != "" || m.SocketName != "" || m.ControlSocket != "" {
		if err := config.MakeDir(config.RuntimeDir()); err != nil {
			return err
		}
	}
	if m.FIFOName != "" {
		d.fifo = &fifo.Server{
			Registry: d.registry, Log: d.log, Path: m.FIFOName, Mode: m.FIFOMode, User: m.FIFOUser, Group: m.FIFOGroup,
			ReplyDir: m.ReplyDir, ReplyIndent: m.ReplyIndent,
		}
		if err := d.fifo.Listen(); err != nil {
			return fmt.Errorf("mi.fifo_name: %w", err)
		}
	}
	if m.SocketName != "" {
		d.datagram = &mi.DatagramServer{Timeout: time.Duration(m.SocketTimeout) * time.Millisecond}
		d.socket(&d.datagram.Socket, m.SocketName)
		if err := d.datagram.Listen(ctx); err != nil {
			return fmt.Errorf("mi.socket_name: %w", err)
		}
	}
	if m.ControlSocket != "" {
		d.control = &mi.ControlServer{}
		d.socket(&d.control.Socket, m.ControlSocket)
		if err := d.control.Listen(ctx); err != nil {
			return fmt.Errorf("mi.control_socket: %w", err)
		}
	}
	return nil
}

func (d *daemon) socket(s *mi.Socket, path string) {
	m := d.cfg.MI
	s.Registry, s.Log, s.Path, s.Indent = d.registry, d.log, path, m.ReplyIndent
	s.Access = mi.Access{Mode: m.UnixSocketMode, User: m.UnixSocketUser, Group: m.UnixSocketGroup}
}

// reload reads the configuration again, whole and checked before anything of it
// counts, and tells what changed and what waits for a restart.
func (d *daemon) reload(context.Context) (*mi.Node, error) {
	if d.file == "" {
		return nil, mi.Errorf(404, "silod was started without a configuration file")
	}
	next, err := load(d.file)
	if err != nil {
		return nil, mi.Errorf(400, "Nothing was changed: %v", err)
	}
	n := &mi.Node{List: true}
	for _, c := range config.Diff(d.cfg, next) {
		n.Add("CHANGED", c.String())
	}
	if err := d.rooms.Configure(roomConfig(next)); err != nil {
		return nil, mi.Errorf(400, "Nothing was changed: imc: %v", err)
	}
	if err := d.setProxies(next); err != nil {
		return nil, mi.Errorf(400, "The rooms have their new configuration, nothing else was changed: %v", err)
	}
	d.silo.Configure(siloSettings(next))
	d.configureGuard(next)
	_ = d.level.UnmarshalText([]byte(next.Log.Level))
	return n, nil
}
