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

// An app is the state that all commands share: the terminal, the flags and the client of the daemon.
type app struct {
	stdin  *bufio.Reader // of in
	in     io.Reader
	out    *bufio.Writer // to stdout, or to the pager
	stdout io.Writer
	stderr io.Writer

	target client.Target
	output string // table, json or mi
	yes    bool

	client *client.Client // nil until the first call
}

// newApp returns the state of one run. The first call of daemon connects.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		stdin: bufio.NewReader(stdin), in: stdin,
		out: bufio.NewWriter(stdout), stdout: stdout, stderr: stderr,
	}
}

// close closes the connection to the daemon.
func (a *app) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// globalFlags declares the flags of every command.
func (a *app) globalFlags(cmd *cobra.Command) {
	f := cmd.PersistentFlags()
	f.StringVar(&a.target.Socket, "socket", "", "the daemon's control or datagram socket (default "+defaultSocket()+")")
	f.StringVar(&a.target.FIFO, "fifo", "", "the daemon's FIFO, instead of a socket")
	f.StringVar(&a.target.ReplyDir, "reply-dir", "/tmp/", "with --fifo: the daemon's reply_dir")
	f.DurationVar(&a.target.Timeout, "timeout", 5*time.Second, "time to wait for each reply")
	f.StringVarP(&a.output, "output", "o", "table", "table (for people), json (for programs) or mi (the daemon's own format)")
	f.BoolVarP(&a.yes, "yes", "y", false, "skip confirmations")
	must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(outputs, noFiles)))
}

// outputs are the values of --output.
var outputs = []string{"table", "json", "mi"}

// checkFlags checks the values of the global flags.
func (a *app) checkFlags() error {
	if !slices.Contains(outputs, a.output) {
		return usagef("--output is table, json or mi, not %q", a.output)
	}
	if a.target.Socket != "" && a.target.FIFO != "" {
		return usagef("--socket and --fifo exclude each other")
	}
	if a.target.Timeout <= 0 {
		return usagef("--timeout must be above 0, such as %s", 5*time.Second)
	}
	return nil
}

// systemDir is the directory of the sockets of a silod that systemd started.
const systemDir = "/run/silod"

// defaultSocket returns the path of the control socket of a daemon with the default configuration:
// that of this user, or else the system's.
func defaultSocket() string {
	own := config.Default(config.DefaultDirs(os.Getenv)).MI.ControlSocket
	system := filepath.Join(systemDir, filepath.Base(own))
	if !exists(own) && exists(system) {
		return system
	}
	return own
}

// exists reports whether there is a file at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// daemon returns the client of the daemon. The first call connects.
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

// isTerminal reports whether stream is a terminal.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width returns the number of columns of the output, or 0 if it is not a terminal.
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

// pause waits, and reports whether ctx has not ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// must panics on the error of a call that fails only through a mistake in this program.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
