// Command manage measures the cost of administration: the time of management commands,
// and how much slower messages are stored while siloctl lists, counts or deletes messages, or a
// member asks for the history of a room.
//
//	go run ./bench/manage
//	go run ./bench/manage -messages 1000000 -rounds 3
//	go run ./bench/manage -messages 10000000 -db postgres://silod@127.0.0.1/empty
//
// silod runs on SQLite, or on an empty PostgreSQL database, with its defaults. Messages are stored at a constant rate, well
// below silod's maximum, in alternating spells without and with siloctl, so that other
// work of the machine affects both alike. A quantile is the median of those of the spells,
// because a single stall of the disk determines the p99 of all spells together, which is
// printed too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"silod/mi"
	"silod/mi/client"
)

// options are the flags.
type options struct {
	messages, rooms int
	rate            int
	rounds          int
	spell           time.Duration
	only            string
	db              string
}

func main() {
	var o options
	flag.IntVar(&o.messages, "messages", 100_000, "stored messages, with a tenth as many entries of rooms and a twentieth as many registrations")
	flag.IntVar(&o.rooms, "rooms", 100_000, "rooms, with two members each; 0: a hundredth of the messages")
	flag.StringVar(&o.db, "db", "", "the `URL` of an empty PostgreSQL database, instead of SQLite")
	flag.IntVar(&o.rate, "rate", 400, "messages to store per second")
	flag.IntVar(&o.rounds, "rounds", 10, "measurements without and with each listing")
	only := flag.String("only", "", "measure only this listing, for instance \"rooms list\"")
	flag.DurationVar(&o.spell, "spell", 4*time.Second, "length of a measurement, once without siloctl and once with it")
	flag.Parse()
	o.only = *only
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "manage:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

// run starts silod, measures and prints.
func run(ctx context.Context, o options) error {
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	if err := s.commands(ctx); err != nil {
		return err
	}
	fmt.Printf("\n| siloctl, on an idle system | s | memory MB |\n| --- | ---: | ---: |\n")
	for _, args := range o.listings() {
		if err := s.alone(ctx, args); err != nil {
			return err
		}
	}
	fmt.Printf("\n%d messages per second are stored at the same time\n\n", o.rate)
	fmt.Printf("| siloctl | p50 ms without | with | p99 ms without | with | p50 with / without | p99 with / without | overall |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, args := range o.listings() {
		if err := s.meanwhile(ctx, o, args); err != nil {
			return fmt.Errorf("siloctl %q: %w", args, err)
		}
	}
	return nil
}

// listings returns the arguments of the listings to measure.
func (o options) listings() (list [][]string) {
	for _, args := range [][]string{
		{"messages", "list"},
		{"messages", "list", "-o", "json"},
		{"messages", "export"},
		{"rooms", "list"},
		{"rooms", "list", "-o", "json"},
		{"messages", "count"},
		{"messages", "list", "--user", "other1"},
		{"messages", "purge", "--yes", "--from", "sender%d"},
		{"messages", "purge", "--yes", "--older-than", "47h"},
		{"send", "user1", "chat-1", "#history since 5m"},
		{"send", "user1", "chat-1", "#rooms"},
	} {
		if o.only == "" || o.only == strings.Join(args, " ") {
			list = append(list, args)
		}
	}
	return list
}

// commands measures management commands without other load.
func (s *system) commands(ctx context.Context) error {
	fmt.Printf("| command over the control socket | p50 ms | p99 ms |\n| --- | ---: | ---: |\n")
	c, err := client.Dial(ctx, client.Target{Socket: s.path("control.sock")})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, call := range []struct {
		name string
		args []mi.Arg
	}{
		{"uptime", nil},
		{"get_statistics", []mi.Arg{{Value: "all"}}},
		{"imc_list_members", []mi.Arg{{Value: "chat-1"}}},
		{"silo_list", []mi.Arg{{Value: "other1"}}},
		{"silo_send", []mi.Arg{{Value: "a"}, {Value: "b"}, {Value: "hello"}}},
	} {
		times := make([]time.Duration, 500)
		for i := range times {
			begun := time.Now()
			if _, err := c.Call(ctx, call.name, call.args...); err != nil {
				return fmt.Errorf("%s: %w", call.name, err)
			}
			times[i] = time.Since(begun)
		}
		fmt.Printf("| %s | %s | %s |\n", call.name, ms(quantile(times, 0.5)), ms(quantile(times, 0.99)))
	}
	return nil
}

// alone measures a listing without other load.
func (s *system) alone(ctx context.Context, args []string) error {
	begun := time.Now()
	cmd, err := s.siloctl(ctx, args)
	if err != nil {
		return fmt.Errorf("siloctl %q: %w", args, err)
	}
	took := time.Since(begun)
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	fmt.Printf("| %s | %.1f | %d |\n", strings.Join(args, " "), took.Seconds(), usage.Maxrss>>10)
	return nil
}

// meanwhile measures storing in alternating spells without and with siloctl.
func (s *system) meanwhile(ctx context.Context, o options, args []string) error {
	var without, with spells
	for range o.rounds {
		times, err := s.store(ctx, o.rate, o.spell)
		if err != nil {
			return err
		}
		without = append(without, times)
		busy, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			for {
				_, err := s.siloctl(busy, args)
				if busy.Err() != nil {
					err = nil // the spell was over
				} else if err == nil {
					continue
				}
				ended <- err
				return
			}
		}()
		times, err = s.store(ctx, o.rate, o.spell)
		stop()
		if err := errors.Join(err, <-ended); err != nil {
			return err
		}
		with = append(with, times)
	}
	ratio := func(with, without time.Duration) float64 { return with.Seconds() / without.Seconds() }
	p50, p50with, p99, p99with := without.median(0.5), with.median(0.5), without.median(0.99), with.median(0.99)
	all, allWith := quantile(slices.Concat(without...), 0.99), quantile(slices.Concat(with...), 0.99)
	fmt.Printf("| %s | %s | %s | %s | %s | %.2f | %.2f | %.2f |\n", strings.Join(args, " "), ms(p50), ms(p50with), ms(p99), ms(p99with),
		ratio(p50with, p50), ratio(p99with, p99), ratio(allWith, all))
	return nil
}

// spells are the times of storing messages, by spell.
type spells [][]time.Duration

// median returns the median of the q-quantiles of the spells.
func (s spells) median(q float64) time.Duration {
	each := make([]time.Duration, len(s))
	for i := range s {
		each[i] = quantile(s[i], q)
	}
	return quantile(each, 0.5)
}

// siloctl runs siloctl and waits for its end. Its output is discarded. %d in an argument is the
// number of the run.
func (s *system) siloctl(ctx context.Context, args []string) (*exec.Cmd, error) {
	s.runs++
	run := []string{"--socket", s.path("control.sock")}
	for _, a := range args {
		run = append(run, strings.ReplaceAll(a, "%d", strconv.Itoa(s.runs)))
	}
	if args[0] == "send" {
		run = append(run, "--server", s.addr)
	}
	cmd := exec.CommandContext(ctx, s.program("siloctl"), run...)
	cmd.Stderr = os.Stderr
	err := cmd.Run()
	return cmd, err
}

func (s *system) path(name string) string    { return filepath.Join(s.dir, name) }
func (s *system) program(name string) string { return filepath.Join(s.dir, "bin", name) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))]
}
