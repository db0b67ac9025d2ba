package main

import (
	"context"
	"net/netip"
	"syscall"

	"silod/bench/proc"
	"silod/bench/rows"
)

// domain is the domain of all users.
const domain = "example.org"

// A system is a server that can be measured.
type system struct {
	name    string
	start   func(ctx context.Context, r *rig, dir string) (*running, error)
	prepare func(ctx context.Context, r *rig) error // builds the program or checks that it is installed
}

// A running is a system that serves.
type running struct {
	addr     netip.AddrPort
	daemon   *proc.Process
	database *proc.Process                                // nil: the daemon has no separate database server
	rows     func(ctx context.Context) (int, error)       // messages stored now
	fill     func(ctx context.Context, n rows.Rows) error // adds rows for users outside the load; nil if it has them
	end      syscall.Signal                               // stops the daemon
	cleanup  func() error                                 // after the daemon has stopped; may be nil
	profile  string                                       // file of the CPU profile that SIGUSR1 starts and stops; "": none
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

// systems are all systems that can be measured.
var systems = []*system{
	{"silod", startSilodPostgres, preparePostgres},
	{"silod-sqlite", startSilodSQLite, prepareSQLite},
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

// pids returns the process IDs of the daemon and of the database server, if there is one.
func (s *running) pids() (daemon, database []int) {
	daemon = []int{s.daemon.PID()}
	if s.database != nil {
		database = []int{s.database.PID()}
	}
	return daemon, database
}

// loopback returns 127.0.0.1 with a port.
func loopback(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
}
