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
	exitRefused     = 1 // by the daemon, by the user when asked, or another failure
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130 // that of shells for ^C
)

// A usageError is the error of an invalid command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

// usagef returns a usageError.
func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// report prints an error of a command, with advice, and returns the exit code.
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
		a.say("see `%s --help`", cmd.CommandPath())
		return exitUsage
	case errors.Is(err, mi.ErrNoCommand):
		a.say("the daemon does not have this command: it is another version, or that part is not enabled")
		return exitRefused
	case errors.As(err, &refused):
		a.say("%s", readableText(err.Error()))
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

// say prints a message of siloctl on standard error.
func (a *app) say(format string, args ...any) {
	a.note("siloctl: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

// note prints text on standard error. Control characters in it are replaced.
func (a *app) note(text string) { fmt.Fprintln(a.stderr, cleanLines(text)) }
