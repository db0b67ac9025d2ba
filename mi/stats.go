package mi

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Counter counts events. The zero value is ready, and it may be used
// concurrently.
type Counter struct{ n atomic.Int64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n, which may not be negative.
func (c *Counter) Add(n int) { c.n.Add(int64(n)) }

// Value is the count since the start or the last reset.
func (c *Counter) Value() int64 { return c.n.Load() }

// Reset starts again at zero and gives what the count was.
func (c *Counter) Reset() int64 { return c.n.Swap(0) }

// Stat is one statistic of a group: a Counter, or a Gauge that is asked for its
// present value and cannot be reset.
type Stat struct {
	Name    string // "stored_messages"
	Help    string // one sentence
	Counter *Counter
	Gauge   func() int64 // must be quick and safe to call at any time
}

// Value is the statistic's present value.
func (s Stat) Value() int64 {
	if s.Counter != nil {
		return s.Counter.Value()
	}
	return s.Gauge()
}

// Counters registers statistics under a group, which may exist already. A name
// that is taken, or a Stat that is not exactly one of Counter and Gauge, is a
// programmer's error and panics.
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
		// A new slice, so that readers may keep the old one.
		r.groups[group] = slices.Insert(slices.Clone(r.groups[group]), at, s)
	}
}

// byName is the order of a group.
func byName(s Stat, name string) int { return strings.Compare(s.Name, name) }

// Statistics gives every statistic with its group, sorted by group and name.
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

// sample is a statistic that a command asked for.
type sample struct {
	group string
	Stat
}

// key names a sample as it is printed.
func (s sample) key() string { return s.group + ":" + s.Name }

// line is a sample as MI prints it.
func (s sample) line() string { return fmt.Sprintf("%s = %d", s.key(), s.Value()) }

// selectStats gives what "all", "group:", "name" and "group:name" stand for, in
// the order of the arguments. What does not exist is passed over.
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
