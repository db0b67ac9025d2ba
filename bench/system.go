package main

import (
	"context"
	"net/netip"
	"syscall"

	"silod/bench/proc"
)

// domain is that of all users, which each system serves.
const domain = "example.org"

// system is something that can be measured.
type system struct {
	name    string
	start   func(ctx context.Context, r *rig, dir string) (*running, error)
	prepare func(ctx context.Context, r *rig) error // builds what is not installed
}

// running is a system that serves.
type running struct {
	addr     netip.AddrPort
	daemon   *proc.Process
	database *proc.Process                          // nil: inside the daemon, or none
	rows     func(ctx context.Context) (int, error) // messages stored now
	fill     func(ctx context.Context, n int) error // stores messages for nobody of the load
	end      syscall.Signal                         // asks the daemon to end
	cleanup  func() error                           // after the daemon's end; nil: nothing to do
	profile  string                                 // file of the CPU profile that SIGUSR1 begins and ends; "": none
}

// start starts the daemon and waits until it answers.
func (s *running) start(ctx context.Context, c proc.Command) (*running, error) {
	var err error
	if s.daemon, err = proc.Start(c); err != nil {
		return nil, err
	}
	if err := answers(ctx, s.daemon, s.addr); err != nil {
		_ = s.stop()
		return nil, err
	}
	return s, nil
}

// systems are all that can be measured.
var systems = []*system{
	{"silod", startSilodPostgres, buildSilod},
	{"silod-sqlite", startSilodSQLite, buildSilod},
	{"kamailio", startKamailio, findKamailio},
	{"kamailio-fm", startFastKamailio, findKamailio},
	{"floor", startFloor, buildFloor},
}

func systemNames() (names []string) {
	for _, s := range systems {
		names = append(names, s.name)
	}
	return names
}

func systemNamed(name string) *system {
	for _, s := range systems {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (s *running) stop() error {
	err := s.daemon.Stop(s.end)
	if s.cleanup != nil {
		if cerr := s.cleanup(); err == nil {
			err = cerr
		}
	}
	return err
}

// pids of the daemon, and of the database where it is another program.
func (s *running) pids() (daemon, database []int) {
	daemon = []int{s.daemon.PID()}
	if s.database != nil {
		database = []int{s.database.PID()}
	}
	return daemon, database
}

// loopback is this machine at a port.
func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}
