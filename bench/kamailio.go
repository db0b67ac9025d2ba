package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"silod/bench/proc"
)

//go:embed kamailio.cfg
var kamailioConfig string

// kamailioSchema is the directory of Debian's SQL files for Kamailio's tables.
const kamailioSchema = "/usr/share/kamailio/postgres"

// Memory for Kamailio in MB: shared by all its processes, and of each. It is enough for
// all modes; unused memory is not allocated.
const kamailioShared, kamailioPrivate = "4096", "32"

// fastMemory selects Kamailio's fastest allocator in place of the default one, which
// collects data for debugging.
var fastMemory = []string{"-x", "fm", "-X", "fm"}

func findKamailio(context.Context, *rig) error {
	if _, err := exec.LookPath("kamailio"); err != nil {
		return fmt.Errorf("%w; install it (Debian: apt-get install kamailio kamailio-postgres-modules)", err)
	}
	return nil
}

func startKamailio(ctx context.Context, r *rig, dir string) (*running, error) {
	return startKamailioWith(ctx, r, dir)
}

func startFastKamailio(ctx context.Context, r *rig, dir string) (*running, error) {
	return startKamailioWith(ctx, r, dir, fastMemory...)
}

// startKamailioWith starts Kamailio with additional flags.
func startKamailioWith(ctx context.Context, r *rig, dir string, flags ...string) (*running, error) {
	d, err := r.newDatabase(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"standard", "usrloc", "msilo", "imc"} {
		text, err := os.ReadFile(filepath.Join(kamailioSchema, name+"-create.sql"))
		if err != nil {
			return nil, err
		}
		if err := d.server.exec(ctx, d.name, string(text)); err != nil {
			return nil, err
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// It is killed at the end, because on SIGTERM it writes all registrations one by one.
	s := &running{
		addr: loopback(port), database: d.server.process, rows: d.rows, fill: d.fill,
		end: syscall.SIGKILL, cleanup: d.drop,
	}
	file := filepath.Join(dir, "kamailio.cfg")
	err = configure(file, kamailioConfig, settings{
		Addr: s.addr.String(), Domain: domain, DB: d.url(), Proxy: "sip:" + s.addr.String() + ";transport=" + r.transport,
	})
	if err != nil {
		return nil, err
	}
	return s.start(ctx, proc.Command{
		Args: append([]string{
			"kamailio", "-DD", "-E", "-f", file, "-m", kamailioShared, "-M", kamailioPrivate,
			"-b", "16777216", // receive buffer: as much as the system allows, as in silod
			"-P", filepath.Join(dir, "kamailio.pid"), "-Y", dir, "-w", dir,
		}, flags...),
		CPUs: r.subs, Log: filepath.Join(r.out, "kamailio.log"),
	})
}
