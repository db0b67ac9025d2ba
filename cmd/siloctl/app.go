package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"silod/config"
	"silod/mi/client"
)

// app is what all commands share: the terminal, the flags, and the daemon.
type app struct {
	stdin  *bufio.Reader
	in     io.Reader
	out    *bufio.Writer
	stdout io.Writer
	stderr io.Writer

	target client.Target
	output string // table, json or mi
	yes    bool

	client *client.Client // nil until it is needed
}

// newApp makes the state of one run; it opens nothing.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: bufio.NewReader(stdin), in: stdin,
		out: bufio.NewWriter(stdout), stdout: stdout, stderr: stderr,
	}
}

// close lets the daemon go.
func (a *app) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// globalFlags are those that every command takes.
func (a *app) globalFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.target.Socket, "socket", "", "the daemon's control or datagram socket (default "+defaultSocket()+")")
	f.StringVar(&a.target.FIFO, "fifo", "", "the daemon's FIFO, instead of a socket")
	f.StringVar(&a.target.ReplyDir, "reply-dir", "/tmp/", "with --fifo: the daemon's reply_dir")
	f.DurationVar(&a.target.Timeout, "timeout", 5*time.Second, "how long the daemon may be silent")
	f.StringVarP(&a.output, "output", "o", "table", "table (for people), json (for programs) or mi (the daemon's words)")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask before what cannot be undone")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, noFiles)))
}

// outputs are the forms that --output takes.
var outputs = []string{"table", "json", "mi"}

// checkFlags refuses what flags cannot refuse themselves.
func (a *app) checkFlags() error {
	if !slices.Contains(outputs, a.output) {
		return usagef("--output is table, json or mi, not %q", a.output)
	}
	if a.target.Socket != "" && a.target.FIFO != "" {
		return usagef("give --socket or --fifo, not both")
	}
	if a.target.Timeout <= 0 {
		return usagef("--timeout must be above 0, %s for one", 5*time.Second)
	}
	return nil
}

// systemDir is where a silod that systemd started has its sockets.
const systemDir = "/run/silod"

// defaultSocket is the control socket of a daemon with the default configuration:
// one of our own, or else the system's.
func defaultSocket() string {
	own := config.Default().MI.ControlSocket
	system := filepath.Join(systemDir, filepath.Base(own))
	if !exists(own) && exists(system) {
		return system
	}
	return own
}

// exists tells whether there is anything at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// daemon finds the daemon, once.
func (a *app) daemon(ctx context.Context) (*client.Client, error) {
	if a.client != nil {
		return a.client, nil
	}
	if a.target.Socket == "" && a.target.FIFO == "" {
		a.target.Socket = defaultSocket()
	}
	c, err := client.Dial(ctx, a.target)
	if err != nil {
		return nil, err
	}
	a.client = c
	return c, nil
}

// isTerminal tells whether a person is at that end.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns the output has, or 0 where it is no terminal.
func (a *app) width() int {
	f, ok := a.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return 80
	}
	return n
}

// must is for calls that fail only by a programmer's error.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
