package main

import (
	"context"
	"maps"
	"slices"

	"silod/mi"
)

// A latency is a histogram with its description.
type latency struct {
	hist *mi.Histogram
	help string
}

// latencies returns the histograms of the times that users notice.
func (d *daemon) latencies() map[string]latency {
	return map[string]latency{
		"accept":   {&d.router.Accept, "From receiving a MESSAGE to its final response."},
		"commit":   {&d.silo.Stats.Commit, "From accepting a message for the store to its commit."},
		"delivery": {&d.engine.Latency, "From sending a queued message to a device to its response."},
	}
}

// latencyCommand returns the command latencies, which siloctl top uses.
func (d *daemon) latencyCommand() mi.Command {
	return mi.Command{
		Name: "latencies", Help: "Shows latency histograms of accepting, committing and delivering messages.",
		Run: func(context.Context, *mi.Request) (*mi.Node, error) {
			n := &mi.Node{List: true}
			all := d.latencies()
			for _, name := range slices.Sorted(maps.Keys(all)) {
				count, sum, atMost := all[name].hist.Snapshot()
				l := n.Add("LATENCY", name, mi.Attr{Name: "count", Value: int64(count)}, mi.Attr{Name: "seconds", Value: sum})
				for _, bound := range slices.Sorted(maps.Keys(atMost)) {
					l.Add("AT_MOST", bound, mi.Attr{Name: "count", Value: int64(atMost[bound])})
				}
			}
			return n, nil
		},
	}
}
