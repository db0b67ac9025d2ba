package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestSlicedCommands checks that silo_count and silo_purge, called for a slice, go on behind the
// given message, and that a purge touches no message in front of it and no other sender's.
func TestSlicedCommands(t *testing.T) {
	t.Parallel()
	s := serve(t)
	alice, dan := s.phone("udp", "alice"), s.phone("udp", "dan")
	for range 3 {
		for _, a := range []*ua{alice, dan} {
			if got := a.message(bob, "hello"); got != 202 {
				t.Fatalf("answered %d", got)
			}
		}
	}
	for _, c := range []struct {
		command string
		args    []string
		want    string
	}{
		{"silo_count", []string{"after", "2", "slice", "yes"}, "count=4 []\nexamined=4 []\n"},
		{"silo_count", []string{"from", "alice", "after", "1", "slice", "yes"}, "count=2 []\nexamined=5 []\n"},
		{"silo_purge", []string{"from", "alice", "after", "1", "slice", "yes"}, "deleted=2 []\nexamined=5 []\n"},
		{"silo_purge", []string{"all", "yes", "after", "5", "slice", "yes"}, "deleted=1 []\nexamined=1 []\n"},
		{"silo_count", nil, "count=3 []\n"},
	} {
		n, err := s.callNamed(c.command, c.args...)
		if err != nil {
			t.Fatalf("%s %q: %v", c.command, c.args, err)
		}
		if _, got, _ := strings.Cut(nodeText(n), "\n"); got != c.want {
			t.Errorf("%s %q: %q, want %q", c.command, c.args, got, c.want)
		}
	}
	if _, err := s.callNamed("silo_purge", "after", "1", "slice", "yes"); err == nil {
		t.Error("a position alone selects messages")
	}
	var left []string
	for _, m := range s.call("silo_list").Nodes {
		left = append(left, fmt.Sprint(m.Attrs[0].Value))
	}
	if got := strings.Join(left, " "); got != "1 2 4" {
		t.Errorf("messages %s are left", got)
	}
}
