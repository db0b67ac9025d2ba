// Command siloctl administers a running silod, and sends and receives messages over SIP to test it.
//
// It calls the daemon through package mi/client only. Its commands are a table of nouns and verbs, with
// one file for each noun; a verb names its management command. Any other first word is sent to the
// daemon as a management command of that name. send and listen have a SIP user agent of their own, in
// useragent.go; the db and config commands work without a daemon.
//
// Commands run on the main goroutine. Other goroutines read the user's answer to a question, follow
// the daemon for top, or belong to sipgo. Locks: arrivals.mu guards the order of messages, and
// userAgent.receiving is held while a message is printed.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// main cancels the command at the first ^C or SIGTERM, and is killed by the second.
func main() {
	// A long list allocates much and keeps little: fewer collections save time.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs siloctl and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := newApp(stdin, stdout, stderr)
	defer a.close()
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if flushed := a.out.Flush(); err == nil {
		err = flushed
	}
	return a.report(cmd, err)
}
