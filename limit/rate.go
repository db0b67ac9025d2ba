// Package limit bounds how often something may happen, and how much memory the counting
// takes: a Meter counts events by key in a Table of fixed capacity.
//
// Locks: one per shard of a Table, held while the functions that were passed to the
// Table run, and one per Meter. No lock is taken under another.
package limit

import "time"

// A Rate is a limit: N events at once, and N events in each Per in the long run.
// The zero Rate does not limit anything.
type Rate struct {
	N   int
	Per time.Duration
}

// Unlimited reports whether the rate permits any number of events.
func (r Rate) Unlimited() bool { return r.N <= 0 || r.Per <= 0 }

// A Bucket is a leaky bucket: it holds Rate.N events, and Rate.N of them leak in each
// Rate.Per. The rate is an argument of each call because it may change in between. The
// zero Bucket is empty.
type Bucket struct {
	level   float64 // events at the time of the last one
	last    time.Time
	refused bool // since the last one
}

// Take adds an event if it fits. If it does not, wait is the time until it will, and
// first reports whether no event was refused since one was added. Refused events are not
// counted.
func (b *Bucket) Take(r Rate, now time.Time) (wait time.Duration, ok, first bool) {
	if r.Unlimited() {
		return 0, true, false
	}
	level := b.levelAt(r, now)
	if over := level + 1 - float64(r.N); over > 0 {
		if now.Before(b.last) {
			b.last = now // the clock was set back: do not wait for it to catch up
		}
		first, b.refused = !b.refused, true
		return time.Duration(over * float64(r.Per) / float64(r.N)), false, first
	}
	*b = Bucket{level: level + 1, last: now}
	return 0, true, false
}

// Fill returns how full the bucket is, from 0 to 1.
func (b *Bucket) Fill(r Rate, now time.Time) float64 {
	if r.Unlimited() {
		return 0
	}
	return b.levelAt(r, now) / float64(r.N)
}

func (b *Bucket) levelAt(r Rate, now time.Time) float64 {
	passed := max(0, now.Sub(b.last))
	leaked := float64(passed) * float64(r.N) / float64(r.Per)
	return max(0, min(b.level, float64(r.N))-leaked)
}
