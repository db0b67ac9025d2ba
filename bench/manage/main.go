// Command manage measures what administration costs: how long a management command
// takes, and how much slower messages are stored while siloctl lists, or exports,
// everything that silod has.
//
//	go run ./bench/manage
//	go run ./bench/manage -messages 1000000 -rounds 3
//
// silod runs on SQLite with its defaults. Messages are stored at a steady pace, well
// below what silod can do; each round has a spell without and a spell with siloctl at
// work, one after the other, so that what else the machine does hits both alike.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"silod/mi"
)

// options are the flags.
type options struct {
	messages, rooms int
	rate            int
	rounds          int
	spell           time.Duration
	only            string
}

func main() {
	var o options
	flag.IntVar(&o.messages, "messages", 100_000, "messages that are stored")
	flag.IntVar(&o.rooms, "rooms", 100_000, "rooms that exist, of two members each")
	flag.IntVar(&o.rate, "rate", 400, "messages that are stored in a second")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each listing is measured; medians are printed")
	only := flag.String("only", "", "measure only this listing, \"rooms list\" for one")
	flag.DurationVar(&o.spell, "spell", 4*time.Second, "length of a measurement, without siloctl and again with it")
	flag.Parse()
	o.only = *only
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "manage:", err)
		stop()
		os.Exit(1) //nolint:gocritic // nothing is left to be deferred
	}
}

// run sets up, measures and prints.
func run(ctx context.Context, o options) error {
	s, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	fmt.Printf("silod with %d stored messages and %d rooms; medians of %d rounds\n\n", o.messages, o.rooms, o.rounds)
	if err := s.commands(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%d messages a second are stored meanwhile\n\n", o.rate)
	fmt.Printf("| siloctl | p50 ms without | with | p99 ms without | with | p99 with / without | siloctl's memory MB | times |\n" +
		"| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, args := range [][]string{
		{"messages", "list"},
		{"messages", "list", "-o", "json"},
		{"messages", "export"},
		{"rooms", "list"},
		{"rooms", "list", "-o", "json"},
	} {
		if o.only != "" && o.only != strings.Join(args, " ") {
			continue
		}
		if err := s.listing(ctx, o, args); err != nil {
			return fmt.Errorf("siloctl %q: %w", args, err)
		}
	}
	return nil
}

// commands measures management commands while nothing else happens.
func (s *system) commands(ctx context.Context) error {
	fmt.Printf("| command over the control socket | p50 ms | p99 ms |\n| --- | ---: | ---: |\n")
	c, err := mi.Dial(ctx, mi.Target{Socket: s.path("control.sock")})
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

// listing measures storing without and with siloctl at work.
func (s *system) listing(ctx context.Context, o options, args []string) error {
	var halves, mosts, halvesWith, mostsWith, ratios []float64
	var memory int64
	times := 0
	for range o.rounds {
		without, err := s.store(ctx, o.rate, o.spell)
		if err != nil {
			return err
		}
		busy, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() {
			ended <- func() error {
				for busy.Err() == nil {
					used, err := s.siloctl(ctx, args)
					if err != nil {
						return err
					}
					memory = max(memory, used)
					times++
				}
				return nil
			}()
		}()
		with, err := s.store(ctx, o.rate, o.spell)
		stop()
		if err := errors.Join(err, <-ended); err != nil {
			return err
		}
		halves, halvesWith = append(halves, quantile(without, 0.5).Seconds()), append(halvesWith, quantile(with, 0.5).Seconds())
		mosts, mostsWith = append(mosts, quantile(without, 0.99).Seconds()), append(mostsWith, quantile(with, 0.99).Seconds())
		ratios = append(ratios, mostsWith[len(mostsWith)-1]/mosts[len(mosts)-1])
	}
	in := func(list []float64) string { return ms(time.Duration(median(list) * float64(time.Second))) }
	fmt.Printf("| %s | %s | %s | %s | %s | %.2f | %.0f | %d |\n", args, in(halves), in(halvesWith), in(mosts), in(mostsWith),
		median(ratios), float64(memory)/(1<<20), times)
	return nil
}

// siloctl runs it once, to the end, and gives the most memory that it had.
func (s *system) siloctl(ctx context.Context, args []string) (bytes int64, err error) {
	cmd := exec.CommandContext(ctx, s.program("siloctl"), append([]string{"--socket", s.path("control.sock")}, args...)...)
	cmd.Stdout, cmd.Stderr = io.Discard, os.Stderr
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return usage.Maxrss << 10, nil
}

func (s *system) path(name string) string    { return filepath.Join(s.dir, name) }
func (s *system) program(name string) string { return filepath.Join(s.dir, "bin", name) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(len(times)-1, int(q*float64(len(times))))]
}

func median(list []float64) float64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}
