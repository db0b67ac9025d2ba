package main

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"silod/mi"
)

// slicer is a daemon with a hundred messages that does ten at a time.
func slicer() []mi.Command {
	run := func(name string) func(context.Context, *mi.Request) (*mi.Node, error) {
		return func(_ context.Context, req *mi.Request) (*mi.Node, error) {
			after, _ := strconv.Atoi(req.Named("after", -1))
			n := &mi.Node{}
			n.Add(name, 5)
			n.Add("examined", 10)
			if after+10 < 100 {
				n.Add("after", after+10)
			}
			return n, nil
		}
	}
	return []mi.Command{
		{Name: "silo_count", Args: "[owner] [from] [older_than] [stuck] [reminders] [after] [slice]", MaxArgs: 7, Run: run("count")},
		{Name: "silo_purge", Args: "[owner] [from] [older_than] [stuck] [reminders] [limit] [all] [after] [slice]", MaxArgs: 9, Run: run("deleted")},
	}
}

// TestSlices checks that counting and purging go through all slices.
func TestSlices(t *testing.T) {
	socket := daemon(t, slicer())
	term := startTerminal(t, 80, "--socket", socket, "messages", "count")
	if code := term.exit(); code != exitDone || !strings.Contains(term.text(), "count  50") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
	term = startTerminal(t, 80, "--socket", socket, "messages", "purge", "--from", "alice@example.org")
	term.expect("Delete 50 stored messages for good? [y/N] ")
	term.typed("y\n")
	if code := term.exit(); code != exitDone || !strings.Contains(term.text(), "deleted 50 messages\n") {
		t.Errorf("exit %d:\n%s", code, term.text())
	}
}
