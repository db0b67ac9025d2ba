package load

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// A Histogram counts durations in buckets of at most 1/32 of their value, from a
// microsecond to an hour. One goroutine records while others take snapshots.
type Histogram struct {
	counts [buckets]atomic.Uint64
}

const (
	fineBits = 5 // 2^fineBits buckets for each doubling
	fine     = 1 << fineBits
	doubling = 32 // of a microsecond: more than an hour
	buckets  = fine * (doubling - fineBits + 1)
)

// bucket returns the index for a duration: below fine microseconds each microsecond has a
// bucket, above that each doubling has fine buckets.
func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < fine {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - fineBits
	return min(shift*fine+int(us>>shift), buckets-1)
}

// upper returns the longest duration of a bucket.
func upper(i int) time.Duration {
	if i < fine {
		return time.Duration(i+1)*time.Microsecond - 1
	}
	shift := i/fine - 1
	return time.Duration(uint64(fine+i%fine+1)<<shift)*time.Microsecond - 1
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) { h.counts[bucket(d)].Add(1) }

// addTo adds the counts to a Distribution.
func (h *Histogram) addTo(d *Distribution) {
	for i := range h.counts {
		d[i] += h.counts[i].Load()
	}
}

// A Distribution is the counts of one or several Histograms at some moment.
type Distribution [buckets]uint64

// Sub subtracts the counts of an earlier moment.
func (d *Distribution) Sub(before *Distribution) {
	for i := range d {
		d[i] -= before[i]
	}
}

// Count returns the number of durations.
func (d *Distribution) Count() uint64 {
	n := uint64(0)
	for _, c := range d {
		n += c
	}
	return n
}

// Quantile returns the q-quantile, rounded up to the end of a bucket; q is from 0 to 1. It
// returns 0 if there are no durations.
func (d *Distribution) Quantile(q float64) time.Duration {
	total := d.Count()
	if total == 0 {
		return 0
	}
	rank := max(1, uint64(q*float64(total)+0.5))
	for i, c := range d {
		if c >= rank {
			return upper(i)
		}
		rank -= c
	}
	return upper(buckets - 1)
}
