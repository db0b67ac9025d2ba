// Command siloctl administers a running silod, and tries it out over SIP.
//
// It speaks to the daemon through package mi/client only, and knows of its state what the
// daemon answers. What people type by noun and verb is a table of verbs, one file
// per noun, each naming the management command behind it; every other first word
// goes to the daemon as a management command by its own name.
//
// There are no locks, and one goroutine, beside the phone's, one that waits for a
// person's answer, and one that follows the daemon for top.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// The first ^C ends what runs in good order, a second one at once.
func main() {
	// What a list leaves behind is collected less often, so that it costs the machine less;
	// of what is kept there is hardly anything.
	debug.SetGCPercent(400)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is siloctl from its arguments to its exit code.
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
