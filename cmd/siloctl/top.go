package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// topCommand returns the command that shows the daemon's activity live.
func (a *app) topCommand() *cobra.Command {
	var every time.Duration
	cmd := &cobra.Command{
		Use: "top", Short: "Show the activity of the daemon live", GroupID: groupAdmin,
		Long: "Shows, until ^C, latencies, the statistics that change, the busiest first, with their rates as a\n" +
			"sparkline, the busiest rooms and mailboxes, and the current state, such as stored messages and\n" +
			"contacts. The daemon counts rooms and mailboxes only while `top` runs.",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !isTerminal(a.stdout) || a.output != "table" {
				return usagef("top requires a terminal: use `siloctl stats --watch` in programs")
			}
			if every < 100*time.Millisecond {
				return usagef("--every must be at least 100ms")
			}
			return a.top(cmd.Context(), every)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().DurationVar(&every, "every", time.Second, "the interval")
	return cmd
}

// top draws until ctx ends.
func (a *app) top(ctx context.Context, every time.Duration) error {
	counters, err := a.counters(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(a.out, "\x1b[?25l") // no cursor
	defer fmt.Fprint(a.out, "\x1b[?25h")
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var h history
	var times latencies
	var active activity
	counted := a.followActivity(ctx)
	for {
		if err := errors.Join(a.sample(ctx, &h, positional([]string{"all"})), times.sample(ctx, a)); err != nil {
			return err
		}
		active.addAll(counted)
		a.clearScreen()
		fmt.Fprintf(a.out, "silod at %s  %s  every %s, ^C to end\n\n", a.target.Socket+a.target.FIFO, time.Now().Format(time.TimeOnly), every)
		if err := a.draw(&h, &times, &active, counters); err != nil {
			return err
		}
		if err := a.out.Flush(); err != nil {
			return err
		}
		if !pause(ctx, every) {
			return nil
		}
	}
}

// counters returns the names of the statistics that only rise.
func (a *app) counters(ctx context.Context) (map[string]bool, error) {
	n, err := a.ask(ctx, "list_statistics")
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	for _, c := range n.Nodes {
		for _, at := range c.Attrs {
			if at.Name == "kind" && at.Value == "incremental" {
				set[c.Name] = true
			}
		}
	}
	return set, nil
}

// draw prints the latencies, the busiest statistics, the busiest rooms and mailboxes, and the state,
// in as many lines as the screen has.
func (a *app) draw(h *history, times *latencies, active *activity, counters map[string]bool) error {
	busy, state := slices.Clone(h.names), []string{} // counters that change, and gauges that are not 0
	busy = slices.DeleteFunc(busy, func(name string) bool {
		if !counters[name] && h.last(name) != 0 {
			state = append(state, name)
		}
		return !counters[name] || !slices.ContainsFunc(h.rates(name), func(r float64) bool { return r != 0 })
	})
	slices.SortStableFunc(busy, func(x, y string) int { return cmp.Compare(total(h.rates(y)), total(h.rates(x))) })
	// A third of the remaining lines for each of the three lists.
	lines := a.height() - 10 - len(times.names)
	busy = busy[:min(len(busy), max(1, lines/3))]
	shown := active.busiest(max(1, lines/3))
	state = state[:min(len(state), max(1, lines-len(busy)-len(shown)))]

	if err := times.draw(a); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	t := &table{w: a.out, width: a.width()}
	for _, name := range busy {
		row := cells("statistic", name, "total", h.last(name), "per second", rate(h.rate(name)), "trend", sparkline(h.rates(name)))
		if err := t.add(row); err != nil {
			return err
		}
	}
	if len(busy) == 0 {
		fmt.Fprintln(a.out, "nothing has happened yet")
	}
	if err := errors.Join(t.flush(), active.draw(a, len(shown))); err != nil {
		return err
	}
	fmt.Fprintln(a.out)
	t = &table{w: a.out, width: a.width()}
	for _, name := range state {
		row := cells("now", name, "value", h.last(name), "trend", sparkline(floats(h.values[name])))
		if err := t.add(row); err != nil {
			return err
		}
	}
	return t.flush()
}

// height returns the number of lines of the terminal.
func (a *app) height() int {
	if f, ok := a.stdout.(*os.File); ok {
		if _, rows, err := term.GetSize(int(f.Fd())); err == nil && rows > 0 {
			return rows
		}
	}
	return 24
}

// total returns the sum of a list.
func total(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum
}

// floats converts values for a sparkline.
func floats(list []int64) []float64 {
	out := make([]float64, len(list))
	for i, v := range list {
		out[i] = float64(v)
	}
	return out
}

// trendWidth is the number of values of a sparkline.
const trendWidth = 24

// sparkline returns the last values as a row of blocks, the largest at full height.
func sparkline(values []float64) string {
	values = values[max(0, len(values)-trendWidth):]
	const blocks = "▁▂▃▄▅▆▇█"
	steps := []rune(blocks)
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 && v > 0 {
			i = int(math.Ceil(v/top*float64(len(steps)))) - 1
		}
		b.WriteRune(steps[i])
	}
	return b.String()
}
