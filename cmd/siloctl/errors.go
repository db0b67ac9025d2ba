package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"silod/mi"
	"silod/mi/client"
)

// The exit codes.
const (
	exitDone        = 0
	exitRefused     = 1 // by the daemon, by the one asked for a confirmation, or by a failure here
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130 // as shells have it for ^C
)

// usageError is a command line that siloctl does not take.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usagef makes a usageError.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// report says what went wrong and what to do next, and gives the exit code.
func (a *app) report(cmd *cobra.Command, err error) int {
	var usage *usageError
	var refused *mi.Error
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage):
		a.say("%s", err)
		a.say("usage: %s", cmd.UseLine())
		a.say("`%s --help` tells more", cmd.CommandPath())
		return exitUsage
	case errors.Is(err, mi.ErrNoCommand):
		a.say("the daemon has no such command: it is of another version, or built without")
		return exitRefused
	case errors.As(err, &refused):
		a.say("%s", err)
		return exitRefused
	case errors.Is(err, client.ErrUnreachable):
		a.say("%s", err)
		a.say("start it with `silod`, name its socket with --socket, or wait longer with --timeout")
		return exitUnreachable
	case errors.Is(err, errNoServer), errors.Is(err, errNoAnswer):
		a.say("%s", err)
		a.say("start it with `silod`, or name another address with --server")
		return exitUnreachable
	}
	a.say("%s", err)
	return exitRefused
}

// say complains to people.
func (a *app) say(format string, args ...any) {
	a.note("siloctl: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// note tells people something beside the output; foreign text in it cannot move
// the cursor.
func (a *app) note(text string) { fmt.Fprintln(a.stderr, cleanLines(text)) }
