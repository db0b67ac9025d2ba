package sip

import "testing"

// TestMaxBreadth checks the values of RFC 5393 section 5.3: the field is one number, 60 without
// it and at most 60.
func TestMaxBreadth(t *testing.T) {
	for _, tt := range []struct {
		values []string
		want   int // -1: malformed
	}{
		{nil, 60},
		{[]string{"0"}, 0},
		{[]string{"1"}, 1},
		{[]string{"007"}, 7},
		{[]string{"60"}, 60},
		{[]string{"61"}, 60},
		{[]string{"99999999999999999999999999"}, 60},
		{[]string{""}, -1},
		{[]string{"-1"}, -1},
		{[]string{"5;x"}, -1},
		{[]string{"5, 6"}, -1},
		{[]string{"many"}, -1},
		{[]string{"5", "5"}, -1},
	} {
		r := Request{Message: &Message{}}
		for _, v := range tt.values {
			r.Headers = append(r.Headers, Header{Name: "Max-Breadth", Value: v})
		}
		got, ok := r.MaxBreadth()
		if !ok {
			got = -1
		}
		if got != tt.want {
			t.Errorf("%q: %d, want %d", tt.values, got, tt.want)
		}
	}
}
