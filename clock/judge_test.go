package clock

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func TestBegin(t *testing.T) {
	for name, tc := range map[string]struct {
		known, built time.Time
		want         event
		expected     time.Time // while it is doubted
	}{
		"first start":              {time.Time{}, time.Time{}, unchanged, time.Time{}},
		"first start of a build":   {time.Time{}, noon.Add(-700 * day), unchanged, time.Time{}},
		"restart":                  {noon.Add(-time.Minute), noon.Add(-day), unchanged, time.Time{}},
		"clock corrected":          {noon.Add(tolerance), noon.Add(-day), unchanged, time.Time{}},
		"stopped over night":       {noon.Add(-12 * time.Hour), noon.Add(-day), unchanged, time.Time{}},
		"days later":               {noon.Add(-3 * day), noon.Add(-9 * day), jumped, noon.Add(-3 * day)},
		"newer build, days later":  {noon.Add(-3 * day), noon.Add(-time.Hour), unchanged, time.Time{}},
		"before the last run":      {noon.Add(time.Hour), noon.Add(-day), jumped, noon.Add(time.Hour)},
		"before the build":         {time.Time{}, noon.Add(56 * 365 * day), jumped, noon.Add(56 * 365 * day)},
		"before a build in a zone": {time.Time{}, noon.Add(time.Minute).In(time.FixedZone("", 9*3600)), unchanged, time.Time{}},
	} {
		s, got := begin(reading{wall: noon}, tc.known, tc.built)
		if got != tc.want || s.doubted != (tc.want == jumped) {
			t.Errorf("%s: %v, doubted %v", name, got, s.doubted)
		}
		if s.doubted && !s.wall.Equal(tc.expected) {
			t.Errorf("%s: expected time %v", name, s.wall)
		}
	}
}

func TestNext(t *testing.T) {
	type step struct {
		passed, asleep, set time.Duration // before the reading; set is what the clock is set by
		accept              bool
		want                event
	}
	for name, steps := range map[string][]step{
		"nothing happens":   {{passed: time.Second}, {passed: 3 * day}},
		"small corrections": {{passed: time.Second, set: time.Minute}, {passed: time.Second, set: -9 * time.Minute}},
		"forward and back": {
			{passed: time.Second, set: 10 * day, want: jumped},
			{passed: time.Minute},
			{passed: time.Second, set: -10 * day, want: returned},
			{passed: 2 * hold},
		},
		"back and forward": {
			{passed: time.Second, set: -10 * day, want: jumped},
			{passed: time.Minute},
			{passed: time.Second, set: 10*day + time.Minute, want: returned},
		},
		"forward to stay":  {{passed: time.Second, set: day, want: jumped}, {passed: hold - 1}, {passed: 1, want: accepted}, {passed: hold}},
		"backward to stay": {{passed: time.Second, set: -day, want: jumped}, {passed: hold, want: accepted}, {passed: hold}},
		"again and again": {
			{passed: time.Second, set: day, want: jumped},
			{passed: hold / 2, set: day, want: jumped},
			{passed: hold - 1},
			{passed: 1, want: accepted},
		},
		"accepted by hand":    {{passed: time.Second, set: day, want: jumped}, {passed: 1, accept: true, want: accepted}, {passed: hold}},
		"nothing to accept":   {{passed: 1, accept: true}},
		"asleep":              {{passed: time.Second, asleep: 3 * day, set: 3 * day}},
		"paused and set":      {{passed: time.Second, set: 3 * day, want: jumped}}, // as a virtual machine
		"asleep in doubt":     {{passed: 1, set: day, want: jumped}, {passed: 1, asleep: day, set: day}, {passed: 1, set: -day, want: returned}},
		"awake and not asked": {{passed: time.Second, asleep: day, set: 3 * day, want: jumped}, {passed: 1, set: -2 * day, want: returned}},
	} {
		r := reading{wall: noon}
		s, _ := begin(r, time.Time{}, time.Time{})
		for i, st := range steps {
			r = reading{r.wall.Add(st.passed + st.set), r.elapsed + st.passed, r.boot + st.passed + st.asleep}
			var got event
			if s, got = next(s, r, st.accept); got != st.want {
				t.Errorf("%s, step %d: %v, want %v", name, i, got, st.want)
			}
		}
	}
}

// After a start long after the last run, any time since then is believed when the clock is set again.
func TestNextAfterStart(t *testing.T) {
	for _, tc := range []struct {
		set  time.Duration
		want event
	}{
		{-10 * day, returned}, {-10*day + 3*time.Hour, returned}, {-9 * day, returned}, {-8 * day, jumped}, {-11 * day, jumped}, {0, unchanged},
	} {
		s, _ := begin(reading{wall: noon}, noon.Add(-10*day), time.Time{})
		if _, got := next(s, reading{wall: noon.Add(tc.set)}, false); got != tc.want {
			t.Errorf("set by %v: %v, want %v", tc.set, got, tc.want)
		}
	}
}
