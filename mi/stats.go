package mi

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Counter counts events. Its zero value is ready for use. It may be used concurrently.
type Counter struct{ n atomic.Int64 }

// Inc adds 1.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n, which must not be negative.
func (c *Counter) Add(n int) { c.n.Add(int64(n)) }

// Value returns the count since the start or the last reset.
func (c *Counter) Value() int64 { return c.n.Load() }

// Reset sets the counter to zero and returns the count until then.
func (c *Counter) Reset() int64 { return c.n.Swap(0) }

// Stat is one statistic of a group: a Counter, or a Gauge, which is called for each value
// and cannot be reset.
type Stat struct {
	Name    string // "stored_messages"
	Help    string // one sentence
	Counter *Counter
	Gauge   func() int64 // must not wait, and may be called concurrently
}

// Value returns the current value.
func (s Stat) Value() int64 {
	if s.Counter != nil {
		return s.Counter.Value()
	}
	return s.Gauge()
}

// Counters registers statistics in a group, which may exist. It panics if a name is taken,
// or a Stat does not have exactly one of Counter and Gauge.
func (r *Registry) Counters(group string, stats ...Stat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range stats {
		if (s.Counter == nil) == (s.Gauge == nil) {
			panic("mi: statistic " + group + ":" + s.Name + " needs a Counter or a Gauge")
		}
		at, taken := slices.BinarySearchFunc(r.groups[group], s.Name, byName)
		if taken {
			panic("mi: statistic " + group + ":" + s.Name + " is there twice")
		}
		// A new slice, as readers may hold the old one.
		r.groups[group] = slices.Insert(slices.Clone(r.groups[group]), at, s)
	}
}

// byName compares names, for the order within a group.
func byName(s Stat, name string) int { return strings.Compare(s.Name, name) }

// Statistics returns all statistics with their groups, sorted by group and name.
func (r *Registry) Statistics() iter.Seq2[string, Stat] {
	r.mu.RLock()
	groups := maps.Clone(r.groups)
	r.mu.RUnlock()
	return func(yield func(string, Stat) bool) {
		for _, group := range slices.Sorted(maps.Keys(groups)) {
			for _, s := range groups[group] {
				if !yield(group, s) {
					return
				}
			}
		}
	}
}

// sample is a statistic with its group.
type sample struct {
	group string
	Stat
}

// key returns the name with the group.
func (s sample) key() string { return s.group + ":" + s.Name }

// line returns the statistic as a line of text.
func (s sample) line() string { return fmt.Sprintf("%s = %d", s.key(), s.Value()) }

// selectStats returns the statistics that the arguments "all", "group:", "name" and
// "group:name" select, in the order of the arguments. Unknown names select none.
func (r *Registry) selectStats(args []Arg) []sample {
	var found []sample
	for _, a := range args {
		for group, s := range r.Statistics() {
			switch a.Value {
			case "all", group + ":", s.Name, group + ":" + s.Name:
				found = append(found, sample{group, s})
			}
		}
	}
	return found
}
