package mi

import (
	"fmt"
	"testing"
)

func TestSelectStats(t *testing.T) {
	r := NewRegistry(nil)
	for _, name := range []string{"b", "a"} {
		r.Counters("y", Stat{Name: name, Counter: new(Counter)})
	}
	r.Counters("x", Stat{Name: "b", Counter: new(Counter)}, Stat{Name: "gauge", Gauge: func() int64 { return 5 }})
	for _, tc := range []struct {
		args []Arg
		want string
	}{
		{[]Arg{{"", "x:"}}, "[x:b x:gauge]"},
		{[]Arg{{"", "y:"}, {"", "x:"}}, "[y:a y:b x:b x:gauge]"},
		{[]Arg{{"", "b"}}, "[x:b y:b]"},
		{[]Arg{{"", "y:b"}, {"", "y:b"}}, "[y:b y:b]"},
		{[]Arg{{"", "nosuch"}, {"", "a"}, {"", "z:"}}, "[y:a]"},
		{[]Arg{{"", "ALL"}, {"", "X:"}, {"", ":"}, {"", ""}}, "[]"},
	} {
		keys := []string{}
		for _, s := range r.selectStats(tc.args) {
			keys = append(keys, s.key())
		}
		if got := fmt.Sprint(keys); got != tc.want {
			t.Errorf("%v: got %s, want %s", tc.args, got, tc.want)
		}
	}
	all := 0
	for range r.Statistics() {
		all++
	}
	if got := len(r.selectStats([]Arg{{"", "all"}})); got != all {
		t.Errorf("all are %d of %d", got, all)
	}
}

func TestCountersRefuses(t *testing.T) {
	one := Stat{Name: "one", Counter: new(Counter)}
	for name, s := range map[string]Stat{
		"twice": one, "neither": {Name: "x"}, "both": {Name: "x", Counter: new(Counter), Gauge: func() int64 { return 0 }},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was registered", name)
				}
			}()
			r := NewRegistry(nil)
			r.Counters("g", one)
			r.Counters("g", s)
		}()
	}
}
