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

// interval is what one message of the daemon's busiest says.
type interval map[string]int64 // "ROOM sip:chat-1@example.org" and what was counted there

// talkers are the rooms and mailboxes in which something has happened lately.
type talkers struct {
	counts map[string][]float64 // the newest last, all of one length
	length int
}

// talkersKept is how many intervals are remembered.
const talkersKept = 20

// add takes an interval. Who was silent in all that are kept is forgotten.
func (t *talkers) add(in interval) {
	if t.counts == nil {
		t.counts = map[string][]float64{}
	}
	for who := range in {
		if t.counts[who] == nil {
			t.counts[who] = make([]float64, t.length)
		}
	}
	t.length = min(t.length+1, talkersKept)
	for who, list := range t.counts {
		list = append(list, float64(in[who]))
		list = slices.Delete(list, 0, max(0, len(list)-talkersKept))
		if total(list) == 0 {
			delete(t.counts, who)
			continue
		}
		t.counts[who] = list
	}
}

// busiest are so many, the busiest of all kept intervals first.
func (t *talkers) busiest(most int) []string {
	names := make([]string, 0, len(t.counts))
	for who := range t.counts {
		names = append(names, who)
	}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(cmp.Compare(total(t.counts[y]), total(t.counts[x])), cmp.Compare(x, y))
	})
	return names[:min(len(names), most)]
}

// draw shows them as a table. An interval is a second.
func (t *talkers) draw(a *app, most int) error {
	names := t.busiest(most)
	if len(names) == 0 {
		return nil
	}
	tab := &table{w: a.out, width: a.width()}
	for _, who := range names {
		kind, name, _ := strings.Cut(who, " ")
		list := t.counts[who]
		row := cells("busiest", strings.ToLower(kind), "address", person(name), "per second", list[len(list)-1], "trend", sparkline(list))
		if err := tab.add(row); err != nil {
			return err
		}
	}
	fmt.Fprintln(a.out)
	return tab.flush()
}

// follow reads what the daemon counts, second by second, until ctx ends. A daemon that
// cannot tell says nothing.
func (a *app) follow(ctx context.Context) <-chan interval {
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

// latencies are how long things took in each sample's time.
type latencies struct {
	names []string
	was   map[string]buckets
	slow  map[string][]float64 // the 99th percentile of each sample, in seconds
	now   map[string][2]float64
}

// buckets are how many took at most so many seconds, the shortest first.
type buckets struct {
	bounds []float64
	counts []int64
	total  int64
}

// sample asks once more.
func (l *latencies) sample(ctx context.Context, a *app) error {
	n, err := a.ask(ctx, "latencies")
	if errors.Is(err, mi.ErrNoCommand) {
		return nil
	}
	if err != nil {
		return err
	}
	if l.was == nil {
		l.was, l.slow, l.now = map[string]buckets{}, map[string][]float64{}, map[string][2]float64{}
	}
	for _, c := range n.Nodes {
		name := fmt.Sprint(c.Value)
		b := bucketsOf(c)
		before, known := l.was[name]
		l.was[name] = b
		if !known {
			l.names = append(l.names, name)
			continue
		}
		d := b.since(before)
		l.now[name] = [2]float64{d.quantile(0.5), d.quantile(0.99)}
		l.slow[name] = keep(append(l.slow[name], d.quantile(0.99)))
	}
	return nil
}

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

// since is what has come since then.
func (b buckets) since(before buckets) buckets {
	d := buckets{bounds: b.bounds, counts: slices.Clone(b.counts), total: b.total - before.total}
	for i := range d.counts {
		if i < len(before.counts) {
			d.counts[i] -= before.counts[i]
		}
	}
	return d
}

// quantile is the time, in seconds, below which a part of them stayed: 0 where there
// are none. Within a bucket they are taken to lie evenly.
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

// draw shows them as a table.
func (l *latencies) draw(a *app) error {
	tab := &table{w: a.out, width: a.width()}
	for _, name := range l.names {
		half, most := "", ""
		if q := l.now[name]; q[1] > 0 {
			half, most = took(q[0]), took(q[1])
		}
		if err := tab.add(cells("latency", name, "half below", half, "99 % below", most, "trend", sparkline(l.slow[name]))); err != nil {
			return err
		}
	}
	return tab.flush()
}

// took writes seconds as people say them.
func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
