package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"silod/mi"
	"silod/mi/client"
)

// An interval has the counts of one second by room or mailbox, "ROOM sip:chat-1@example.org".
type interval map[string]int64

// An activity has the recent counts of rooms and mailboxes.
type activity struct {
	counts map[string][]float64 // the newest last, all of one length
	length int
}

// activityKept is the number of intervals that are kept.
const activityKept = 20

// add adds an interval, and forgets rooms and mailboxes without counts in all that are kept.
func (t *activity) add(in interval) {
	if t.counts == nil {
		t.counts = map[string][]float64{}
	}
	for name := range in {
		if t.counts[name] == nil {
			t.counts[name] = make([]float64, t.length)
		}
	}
	t.length = min(t.length+1, activityKept)
	for name, list := range t.counts {
		list = append(list, float64(in[name]))
		list = slices.Delete(list, 0, max(0, len(list)-activityKept))
		if total(list) == 0 {
			delete(t.counts, name)
			continue
		}
		t.counts[name] = list
	}
}

// addAll adds the intervals that wait in from.
func (t *activity) addAll(from <-chan interval) {
	for {
		select {
		case in, ok := <-from:
			if !ok {
				return
			}
			t.add(in)
		default:
			return
		}
	}
}

// busiest returns at most that number of names, those with the largest counts first.
func (t *activity) busiest(most int) []string {
	names := make([]string, 0, len(t.counts))
	for name := range t.counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(total(t.counts[y]), total(t.counts[x])), cmp.Compare(x, y))
	})
	return names[:min(len(names), most)]
}

// draw prints a table of at most that number of rooms and mailboxes. An interval is one second, so a
// count is a rate per second.
func (t *activity) draw(a *app, most int) error {
	names := t.busiest(most)
	if len(names) == 0 {
		return nil
	}
	tab := &table{w: a.out, width: a.width()}
	for _, key := range names {
		kind, name, _ := strings.Cut(key, " ")
		list := t.counts[key]
		row := cells("busiest", strings.ToLower(kind), "address", withoutScheme(name),
			"per second", list[len(list)-1], "trend", sparkline(list))
		if err := tab.add(row); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out)
	return tab.flush()
}

// followActivity returns a channel with the counts of each second until ctx ends. The channel is closed
// if the daemon cannot count, or ends. It has a connection of its own, without a timeout.
func (a *app) followActivity(ctx context.Context) <-chan interval {
	to := make(chan interval, 1)
	target := a.target
	target.Timeout = -1
	go func() {
		defer close(to)
		daemon, err := client.Dial(ctx, target)
		if err != nil {
			return
		}
		defer daemon.Close()
		for n, err := range daemon.Stream(ctx, "busiest") {
			if err != nil {
				return
			}
			in := interval{}
			for _, c := range n.Nodes {
				for _, at := range c.Attrs {
					if v, ok := number(at.Value); ok {
						in[c.Name+" "+fmt.Sprint(c.Value)] = v
					}
				}
			}
			select {
			case to <- in:
			case <-ctx.Done():
				return
			}
		}
	}()
	return to
}

// A latencies has the times that the daemon took for requests, by sample.
type latencies struct {
	names  []string
	before map[string]buckets
	p99    map[string][]float64  // of each sample, in seconds
	newest map[string][2]float64 // median and 99th percentile
}

// A buckets has the counts of an mi.Histogram.
type buckets struct {
	bounds []float64 // in seconds, the shortest first
	counts []int64   // requests that took no longer than the bound
	total  int64     // all requests
}

// sample asks the daemon for its counts, and adds the times since the last sample. A daemon without
// this command has no latencies.
func (l *latencies) sample(ctx context.Context, a *app) error {
	n, err := a.ask(ctx, "latencies")
	if errors.Is(err, mi.ErrNoCommand) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.before == nil {
		l.before, l.p99, l.newest = map[string]buckets{}, map[string][]float64{}, map[string][2]float64{}
	}
	for _, c := range n.Nodes {
		name := fmt.Sprint(c.Value)
		b := bucketsOf(c)
		before, known := l.before[name]
		l.before[name] = b
		if !known {
			l.names = append(l.names, name)
			continue
		}
		d := b.since(before)
		l.newest[name] = [2]float64{d.quantile(0.5), d.quantile(0.99)}
		l.p99[name] = lastSamples(append(l.p99[name], d.quantile(0.99)))
	}
	return nil
}

// bucketsOf returns the buckets of a reply.
func bucketsOf(n *mi.Node) buckets {
	var b buckets
	count := func(attrs []mi.Attr) (v int64) {
		for _, at := range attrs {
			if at.Name == "count" {
				v, _ = number(at.Value)
			}
		}
		return v
	}
	b.total = count(n.Attrs)
	for _, c := range n.Nodes {
		bound, ok := c.Value.(float64)
		if whole, isWhole := number(c.Value); !ok && isWhole {
			bound = float64(whole)
		}
		b.bounds, b.counts = append(b.bounds, bound), append(b.counts, count(c.Attrs))
	}
	return b
}

// since returns the difference to earlier buckets.
func (b buckets) since(before buckets) buckets {
	d := buckets{bounds: b.bounds, counts: slices.Clone(b.counts), total: b.total - before.total}
	for i := range d.counts {
		if i < len(before.counts) {
			d.counts[i] -= before.counts[i]
		}
	}
	return d
}

// quantile returns a quantile in seconds, or 0 without counts. It assumes that the times in a bucket
// are evenly distributed.
func (b buckets) quantile(q float64) float64 {
	want := q * float64(b.total)
	var below int64
	low := 0.0
	for i, bound := range b.bounds {
		if in := b.counts[i] - below; in > 0 && float64(b.counts[i]) >= want {
			return low + (bound-low)*(want-float64(below))/float64(in)
		}
		below, low = b.counts[i], bound
	}
	if b.total == 0 {
		return 0
	}
	return low
}

// draw prints the latencies as a table.
func (l *latencies) draw(a *app) error {
	tab := &table{w: a.out, width: a.width()}
	for _, name := range l.names {
		median, p99 := "", ""
		if q := l.newest[name]; q[1] > 0 {
			median, p99 = formatSeconds(q[0]), formatSeconds(q[1])
		}
		if err := tab.add(cells("latency", name, "half below", median, "99 % below", p99, "trend", sparkline(l.p99[name]))); err != nil {
			return err
		}
	}
	return tab.flush()
}

// formatSeconds returns a short text of a time.
func formatSeconds(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
