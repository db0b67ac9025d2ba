package mi

import (
	"slices"
	"sync/atomic"
	"time"
)

// latencyBounds are the upper bounds of a Histogram's buckets, in seconds: from
// what a lookup in memory takes to what a caller no longer waits for.
var latencyBounds = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 32,
}

// Histogram counts how long things took. The zero value is ready, and it may be
// used concurrently.
type Histogram struct {
	buckets [18]atomic.Uint64 // not cumulative; the last is for what is beyond all bounds
	nanos   atomic.Int64
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	i, _ := slices.BinarySearch(latencyBounds, d.Seconds())
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// Snapshot gives the number and the sum, in seconds, of all durations, and how many
// were at most as long as each bound.
func (h *Histogram) Snapshot() (count uint64, sum float64, atMost map[float64]uint64) {
	atMost = make(map[float64]uint64, len(latencyBounds))
	for i, b := range latencyBounds {
		count += h.buckets[i].Load()
		atMost[b] = count
	}
	count += h.buckets[len(latencyBounds)].Load()
	return count, time.Duration(h.nanos.Load()).Seconds(), atMost
}
