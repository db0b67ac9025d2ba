package load

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for i := 1; i <= 1000; i++ {
		h.Record(time.Duration(i) * 100 * time.Microsecond)
	}
	var d Distribution
	h.addTo(&d)
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{
		{0, 100 * time.Microsecond},
		{0.5, 50 * time.Millisecond},
		{0.99, 99 * time.Millisecond},
		{1, 100 * time.Millisecond},
	} {
		got := d.Quantile(tt.q)
		if got < tt.want || float64(got) > float64(tt.want)*(1+1.0/fine)+1000 {
			t.Errorf("quantile %v is %v, want %v and at most 1/%d more", tt.q, got, tt.want, fine)
		}
	}
	before := d
	h.Record(time.Second)
	d = Distribution{}
	h.addTo(&d)
	d.Sub(&before)
	if d.Count() != 1 || d.Quantile(0.5) < time.Second {
		t.Errorf("what was counted since is %d values of %v", d.Count(), d.Quantile(0.5))
	}
	if new(Distribution).Quantile(0.5) != 0 {
		t.Error("nothing counted, yet there is a median")
	}
}

// The bucket of a duration is the first whose upper limit is not below it.
func TestBuckets(t *testing.T) {
	for i := range buckets - 1 {
		if upper(i) >= upper(i+1) {
			t.Fatalf("bucket %d ends at %v, the next at %v", i, upper(i), upper(i+1))
		}
		if bucket(upper(i)) != i || bucket(upper(i)+1) != i+1 {
			t.Fatalf("bucket %d ends at %v, which is counted in %d, and a nanosecond more in %d",
				i, upper(i), bucket(upper(i)), bucket(upper(i)+1))
		}
	}
	if bucket(-time.Second) != 0 || bucket(1000*time.Hour) != buckets-1 {
		t.Error("what is out of range is not counted at the ends")
	}
}
