// Command siloctl administers a running silod, and sends and receives messages over SIP to test it.
//
// It talks to the daemon through package mi/client only. Its commands are a table of nouns and verbs, one file
// for each noun; a verb names its management command. Every other first word is sent to the daemon as
// a management command of that name. send and listen have a SIP user agent of their own: useragent.go.
//
// Commands run on the main goroutine. Others wait for an answer of the user, follow the daemon for
// top, and belong to sipgo; arrivals.go and useragent.go have the locks that those need.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// main ends the command in good order at the first ^C, and at once at the second.
func main() {
	// Long lists make much garbage while the live heap stays small: fewer collections save time.
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
