package mi

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	if len(Histogram{}.buckets) != len(latencyBounds)+1 {
		t.Fatal("a bucket is needed for each bound and one for longer durations")
	}
	var h Histogram
	for _, d := range []time.Duration{50 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, time.Minute} {
		h.Observe(d)
	}
	count, sum, atMost := h.Snapshot()
	if count != 4 || sum < 60 || sum > 60.01 {
		t.Errorf("count %d, sum %v", count, sum)
	}
	for bound, want := range map[float64]uint64{0.0001: 1, 0.001: 2, 0.0025: 3, 32: 3} {
		if atMost[bound] != want {
			t.Errorf("at most %v s: %d, want %d", bound, atMost[bound], want)
		}
	}
}
