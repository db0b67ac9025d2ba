// Command bench runs silod and Debian's Kamailio one after the other on this machine
// under the same load, and prints the rate and the cost of each.
//
//	go run ./bench                                    everything, three rounds
//	go run ./bench -mode relay -rounds 1 -seconds 3   one mode, quickly
//	go run ./bench -mode store -systems silod -pprof  one mode, with a CPU profile of silod
//
// A file defines each mode, which is a kind of traffic, and each system, with its setup.
// Package load generates the traffic, and package proc measures CPU time and memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	modes, systems []string
	rounds         int
	seconds        time.Duration
	warmup         time.Duration
	open           int // 0: the mode's own
	users          int // 0: the mode's own
	clients        int
	body           int
	mailbox        int
	rows           int
	transport      string
	pin            string
	out, data      string
	silod          string
	profile        bool
	document       string
}

func parseFlags(args []string) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	mode := fs.String("mode", "all", "comma-separated `modes`: "+strings.Join(modeNames(), ", "))
	system := fs.String("systems", "", "comma-separated `systems`, instead of those of each mode: "+strings.Join(systemNames(), ", "))
	fs.IntVar(&o.rounds, "rounds", 3, "measurements of each system; medians are printed")
	seconds := fs.Float64("seconds", 5, "length of each measurement")
	warmup := fs.Float64("warmup", 1, "seconds of load before each measurement")
	fs.IntVar(&o.open, "open", 0, "requests kept open at once; 0: the default of the mode")
	fs.IntVar(&o.users, "users", 0, "recipients, members or registrations; 0: the default of the mode")
	fs.IntVar(&o.clients, "clients", 4, "sockets of the load generator")
	fs.IntVar(&o.body, "body", 100, "bytes of text in a message")
	fs.IntVar(&o.mailbox, "mailbox", 100, "stored messages for each user in mode deliver")
	fs.IntVar(&o.rows, "rows", 0, "messages for other users in the database before the load begins; for silod also a tenth as many entries of "+
		"rooms, a twentieth as many registrations, a hundredth as many rooms")
	fs.StringVar(&o.transport, "transport", "udp", "udp or tcp")
	fs.StringVar(&o.pin, "pin", "auto", "split: the load generator runs alone on a quarter of the processors; none: all processes share all processors; "+
		"auto: split with four processors or more")
	fs.StringVar(&o.out, "out", "", "`directory` for raw numbers, logs and profiles (default bench/out)")
	fs.StringVar(&o.data, "data", os.TempDir(), "`directory` for databases; it must be on a real disk")
	fs.StringVar(&o.silod, "silod", "", "measure this `program` instead of building one")
	fs.BoolVar(&o.profile, "pprof", false, "take a CPU profile of silod during each measurement")
	fs.StringVar(&o.document, "write", "", "write the results and the method to this `file`")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	o.seconds = time.Duration(*seconds * float64(time.Second))
	o.warmup = time.Duration(*warmup * float64(time.Second))
	if o.modes = modeNames(); *mode != "all" {
		o.modes = strings.Split(*mode, ",")
	}
	if *system != "" {
		o.systems = strings.Split(*system, ",")
	}
	if err := o.check(fs.Args()); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *options) check(rest []string) error {
	for _, m := range o.modes {
		if !slices.Contains(modeNames(), m) {
			return fmt.Errorf("unknown mode %q; modes: %s", m, strings.Join(modeNames(), ", "))
		}
	}
	for _, s := range o.systems {
		if !slices.Contains(systemNames(), s) {
			return fmt.Errorf("unknown system %q; systems: %s", s, strings.Join(systemNames(), ", "))
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q; see -help", rest[0])
	case o.transport != "udp" && o.transport != "tcp":
		return fmt.Errorf("-transport is %q, want udp or tcp", o.transport)
	case o.pin != "auto" && o.pin != "split" && o.pin != "none":
		return fmt.Errorf("-pin is %q, want auto, split or none", o.pin)
	case o.rounds < 1 || o.seconds <= 0 || o.clients < 1 || o.mailbox < 1 || o.open < 0 || o.users < 0 || o.rows < 0:
		return errors.New("-rounds, -seconds, -clients and -mailbox must be positive, -open, -users and -rows not negative")
	case o.profile && o.silod != "":
		return errors.New("-pprof needs a special build of silod: omit -silod")
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseFlags(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// run prepares, measures and reports.
func run(ctx context.Context, o *options) (err error) {
	r, err := newRig(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	fmt.Println(r.machine)
	rep := &report{Machine: r.machine, Arguments: os.Args[1:], Started: time.Now()}
	for _, name := range o.modes {
		if err := r.measure(ctx, rep, modeNamed(name)); err != nil {
			return errors.Join(err, rep.save(o.out))
		}
		rep.print(os.Stdout, name)
	}
	if o.document != "" {
		if err := rep.document(o.document); err != nil {
			return err
		}
	}
	return rep.save(o.out)
}

// measure runs all rounds of a mode. In each round the systems run one after the other,
// beginning with a different one, so that other work of the machine affects all alike.
func (r *rig) measure(ctx context.Context, rep *report, m *mode) error {
	names := r.systemsOf(m)
	for round := range r.rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			s := systemNamed(name)
			fmt.Fprintf(os.Stderr, "%s, round %d of %d: %s\n", m.name, round+1, r.rounds, name)
			sample, err := r.once(ctx, m, s)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", m.name, name, err)
			}
			sample.Round = round + 1
			rep.Samples = append(rep.Samples, sample)
		}
	}
	return nil
}
