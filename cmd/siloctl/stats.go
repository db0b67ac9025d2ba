package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"silod/mi"
)

// statsCommand returns the command that shows the daemon's counters and gauges.
func (a *app) statsCommand() *cobra.Command {
	var watch bool
	var every time.Duration
	cmd := &cobra.Command{
		Use: "stats [NAME...]", Short: "Show statistics", GroupID: groupAdmin,
		Long:    "NAME is a group with its colon, `msilo:`, or one statistic. The default is all.",
		Example: "  siloctl stats msilo:\n  siloctl stats --watch msilo: imc:\n  siloctl stats -o json",
		Args:    arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"all"}
			}
			c := call{command: "get_statistics", args: positional(args)}
			if !watch {
				return a.show(cmd.Context(), c)
			}
			if every < 100*time.Millisecond {
				return usagef("--every must be at least 100ms")
			}
			return a.watchStats(cmd.Context(), c, every)
		},
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			return a.entries(cmd.Context(), "list_statistics", func(n *mi.Node) string { return n.Name }), noFiles
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show them repeatedly, with the changes per second")
	cmd.Flags().DurationVar(&every, "every", 2*time.Second, "with --watch: the interval")
	return cmd
}

// watchStats prints samples until ctx ends: each on a clear screen of a terminal, otherwise one below
// the other, and for JSON as one object a line.
func (a *app) watchStats(ctx context.Context, c call, every time.Duration) error {
	var h history
	for {
		if err := a.sample(ctx, &h, c.args); err != nil {
			return err
		}
		if a.output == "json" {
			if err := writeLine(a.out, h.object()); err != nil {
				return err
			}
		} else {
			a.clearScreen()
			t := &table{w: a.out, width: a.width()}
			for _, name := range h.names {
				if err := t.add(cells("statistic", name, "value", h.last(name), "per second", rate(h.rate(name)))); err != nil {
					return err
				}
			}
			if err := t.flush(); err != nil {
				return err
			}
		}
		if err := a.out.Flush(); err != nil {
			return err
		}
		if !pause(ctx, every) {
			return nil
		}
	}
}

// clearScreen clears a terminal, and prints an empty line to any other output.
func (a *app) clearScreen() {
	if isTerminal(a.stdout) {
		fmt.Fprint(a.out, "\x1b[H\x1b[2J")
		return
	}
	fmt.Fprintln(a.out)
}

// sample adds the current statistics to h.
func (a *app) sample(ctx context.Context, h *history, names []mi.Arg) error {
	n, err := a.ask(ctx, "get_statistics", names...)
	if err != nil {
		return err
	}
	h.add(time.Now(), n)
	return nil
}

// historySize is the number of samples that are kept for each statistic.
const historySize = 60

// A history has the last samples of the statistics.
type history struct {
	names  []string
	values map[string][]int64 // the newest last
	times  []time.Time
}

// add adds a sample. Values that are not numbers are skipped.
func (h *history) add(at time.Time, n *mi.Node) {
	if h.values == nil {
		h.values = map[string][]int64{}
	}
	h.times = lastSamples(append(h.times, at))
	for _, c := range n.Nodes {
		v, ok := number(c.Value)
		if !ok {
			continue
		}
		if _, known := h.values[c.Name]; !known {
			h.names = append(h.names, c.Name)
		}
		h.values[c.Name] = lastSamples(append(h.values[c.Name], v))
	}
}

// lastSamples drops the oldest samples.
func lastSamples[T any](list []T) []T { return slices.Delete(list, 0, max(0, len(list)-historySize)) }

// number returns the integer of a node's value.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), true
	}
	return 0, false
}

// last returns the newest value of a statistic, which must be in names.
func (h *history) last(name string) int64 {
	v := h.values[name]
	return v[len(v)-1]
}

// rates returns the changes per second between the samples, the newest last.
func (h *history) rates(name string) []float64 {
	v := h.values[name]
	t := h.times[len(h.times)-min(len(v), len(h.times)):]
	var list []float64
	for i := 1; i < len(t); i++ {
		if s := t[i].Sub(t[i-1]).Seconds(); s > 0 {
			list = append(list, float64(v[i]-v[i-1])/s)
		}
	}
	return list
}

// rate returns the newest change per second.
func (h *history) rate(name string) float64 {
	if r := h.rates(name); len(r) > 0 {
		return r[len(r)-1]
	}
	return 0
}

// object returns the newest sample for -o json.
func (h *history) object() map[string]any {
	o := map[string]any{"time": h.times[len(h.times)-1].UTC().Format(time.RFC3339Nano)}
	for _, name := range h.names {
		o[name] = h.last(name)
	}
	return o
}

// rate returns the text of a change per second, "" for none.
func rate(r float64) string {
	if r == 0 {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%+.1f", r), ".0")
}
