package mi

import (
	"slices"
	"sync/atomic"
	"time"
)

// latencyBounds are the upper bounds of a Histogram's buckets in seconds: from the time of
// a lookup in memory to that of a SIP transaction (64*T1, RFC 3261 section 17.1.2.2).
var latencyBounds = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 32,
}

// Histogram counts durations. Its zero value is ready for use. It may be used
// concurrently.
type Histogram struct {
	buckets [18]atomic.Uint64 // not cumulative; the last is for durations above all bounds
	nanos   atomic.Int64
}

// Observe counts one duration.
func (h *Histogram) Observe(d time.Duration) {
	i, _ := slices.BinarySearch(latencyBounds, d.Seconds())
	h.buckets[i].Add(1)
	h.nanos.Add(int64(d))
}

// Snapshot returns the number of durations, their sum in seconds, and for each bound in
// seconds the number of durations that were not longer.
func (h *Histogram) Snapshot() (count uint64, sum float64, atMost map[float64]uint64) {
	atMost = make(map[float64]uint64, len(latencyBounds))
	for i, b := range latencyBounds {
		count += h.buckets[i].Load()
		atMost[b] = count
	}
	count += h.buckets[len(latencyBounds)].Load()
	return count, time.Duration(h.nanos.Load()).Seconds(), atMost
}
