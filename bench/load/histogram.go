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

// bucket is where a duration is counted: below fine microseconds each has its own,
// above that each doubling is cut into fine parts.
func bucket(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < fine {
		return int(us)
	}
	shift := bits.Len64(us) - 1 - fineBits
	return min(shift*fine+int(us>>shift), buckets-1)
}

// upper is the longest duration that a bucket counts.
func upper(i int) time.Duration {
	if i < fine {
		return time.Duration(i+1)*time.Microsecond - 1
	}
	shift := i/fine - 1
	return time.Duration(uint64(fine+i%fine+1)<<shift)*time.Microsecond - 1
}

// Record counts one duration.
func (h *Histogram) Record(d time.Duration) { h.counts[bucket(d)].Add(1) }

// addTo adds what has been counted to a Distribution.
func (h *Histogram) addTo(d *Distribution) {
	for i := range h.counts {
		d[i] += h.counts[i].Load()
	}
}

// A Distribution is what one or several Histograms had counted at some moment.
type Distribution [buckets]uint64

// Sub takes away what had been counted before.
func (d *Distribution) Sub(before *Distribution) {
	for i := range d {
		d[i] -= before[i]
	}
}

// Count is how many durations there are.
func (d *Distribution) Count() uint64 {
	n := uint64(0)
	for _, c := range d {
		n += c
	}
	return n
}

// Quantile is the duration that a part q of all, from 0 to 1, did not exceed: too long
// by a bucket's width at most, and 0 where nothing was counted.
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
