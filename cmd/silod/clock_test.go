package main

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Messages, reminders and bindings of a time before the clock was set forward by days, while silod did
// not run, are kept until the clock is believed. Messages that come meanwhile live as long as
// others, by either clock.
func TestClockAheadAtStart(t *testing.T) {
	t.Parallel()
	keys := append([]string{"silo.check_time = 1", "silo.clean_period = 1"}, reminders...)
	s := serveIn(t, t.TempDir(), fixedPort(t), keys...)
	a, b := s.phone("udp", "alice"), s.phone("udp", "carol")
	b.register(300)
	if got := a.message(bob, "stored"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	if got := a.message("sip:dave@127.0.0.1", "due", "X-Send-At: "+time.Now().Add(time.Hour).UTC().Format(time.RFC3339)); got != 202 {
		t.Fatalf("answered %d", got)
	}
	s.eventually("the time to be saved", func() bool { return strings.TrimSpace(s.row0()) != "" })
	s.stop()
	const days = 10 * 86400
	s.sql(fmt.Sprintf("UPDATE silod_schema SET at = at - %d WHERE version = 0", days))
	s.sql(fmt.Sprintf("UPDATE silo SET inc_time = inc_time - %[1]d, exp_time = exp_time - %[1]d, snd_time = CASE snd_time WHEN 0 THEN 0 ELSE snd_time - %[1]d END", days))
	s.sql(fmt.Sprintf("UPDATE location SET expires = expires - %d", 10))
	s = s.restart(keys...)
	for _, line := range []string{"silod was stopped for more than a day, or the system clock is wrong", "system clock has jumped"} {
		if !strings.Contains(s.log.String(), line) {
			t.Errorf("the log does not have %q", line)
		}
	}
	if got := a.message(bob, "new"); got != 202 {
		t.Fatalf("answered %d", got)
	}
	time.Sleep(2500 * time.Millisecond) // the rest of the test would pass without two sweeps
	if n := s.stored(); n != 2 {
		t.Errorf("%d messages are stored, want both", n)
	}
	if n := s.call("silo_count", "dave@127.0.0.1"); fmt.Sprint(n.Nodes) == "" || s.stat("clock:doubted") != 1 || s.stat("msilo:expired_messages") != 0 {
		t.Errorf("doubted %d, %d expired", s.stat("clock:doubted"), s.stat("msilo:expired_messages"))
	}
	s.call("clock_accept")
	s.eventually("the old messages to expire", func() bool { return s.stat("msilo:expired_messages") > 0 })
	if s.stat("clock:doubted") != 0 {
		t.Error("the clock is doubted still")
	}
	bobs := s.phone("udp", "bob")
	bobs.register(300)
	if got := body(bobs.next()); got != "new" {
		t.Errorf("bob has received %q", got)
	}
	bobs.nothing()
}

// row0 returns the time that was saved for the next start.
func (s *served) row0() string {
	seen, err := s.siloDB.LastSeen(s.t.Context())
	if err != nil || seen.IsZero() {
		return ""
	}
	return seen.String()
}
