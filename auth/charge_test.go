package auth

import (
	"net/netip"
	"testing"
	"time"

	"silod/limit"
	"silod/mi"
)

func TestChargeOf(t *testing.T) {
	source := limit.NetworkOf(here)
	for _, tc := range []struct {
		name string
		f    failure
		want charge
	}{
		{"the first of a user at a source", failure{source: source, first: true}, charge{pair: true, source: true, user: true}},
		{"the next", failure{source: source}, charge{pair: true, user: true}},
		{"the first of a user with logins there", failure{source: source, first: true, familiar: true}, charge{pair: true}},
		{"the next of that user", failure{source: source, familiar: true}, charge{pair: true}},
		{"the same login again", failure{source: source, first: true, repeated: true}, charge{}},
		{"through a trusted proxy", failure{source: limit.NetworkOf(netip.Addr{}), first: true}, charge{}},
	} {
		if got := chargeOf(tc.f); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestStanding(t *testing.T) {
	for _, tc := range []struct {
		name string
		s    standing
		want Outcome
		wait time.Duration
	}{
		{"nothing is known", standing{}, Accepted, 0},
		{"banned there", standing{pairBanned: 3}, Banned, 3},
		{"banned there, where the user has logged in", standing{pairBanned: 3, familiar: true}, Banned, 3},
		{"the source is banned", standing{sourceBanned: 4}, Banned, 4},
		{"the source is banned, where the user has logged in", standing{sourceBanned: 4, familiar: true}, Accepted, 0},
		{"too many guesses", standing{userFull: 5}, Delayed, 5},
		{"too many guesses elsewhere", standing{userFull: 5, familiar: true}, Accepted, 0},
		{"all of them, on a connection of the user", standing{pairBanned: 3, sourceBanned: 4, userFull: 5, connected: true}, Accepted, 0},
		{"all of them", standing{pairBanned: 3, sourceBanned: 4, userFull: 5, familiar: true}, Banned, 3},
	} {
		if got, wait := tc.s.decide(); got != tc.want || wait != tc.wait {
			t.Errorf("%s: %v, %v", tc.name, got, wait)
		}
	}
}

func stat(t testing.TB, stats []mi.Stat, name string) int64 {
	t.Helper()
	for _, s := range stats {
		if s.Name == name {
			return s.Value()
		}
	}
	t.Fatalf("no statistic %s", name)
	return 0
}
