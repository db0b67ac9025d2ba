package mi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Core has the commands about the daemon itself. Only Registry is required.
type Core struct {
	Registry *Registry
	Name     string         // "silod"
	Version  string         // "1.0.0"
	Revision string         // the commit of the build; "" if it is not known
	Started  time.Time      // for uptime
	Level    *slog.LevelVar // of the log; nil if debug and log_level cannot set it

	// Stop asks the daemon to stop; it must return immediately.
	Stop func()
	// Reload reads the configuration again and returns the changes.
	Reload func(context.Context) (*Node, error)
}

// Commands returns the commands about the daemon and about statistics.
func (c *Core) Commands() []Command {
	return append([]Command{
		{Name: "uptime", Aliases: []string{"core.uptime"}, Help: "Shows the uptime of the daemon.", Run: c.uptime},
		{Name: "version", Aliases: []string{"core.version"}, Help: "Shows the version of the daemon.", Run: c.version},
		{Name: "info", Aliases: []string{"core.info"}, Help: "Shows build information of the daemon.", Run: c.info},
		{Name: "pwd", Aliases: []string{"core.pwd"}, Help: "Shows the working directory of the daemon.", Run: c.pwd},
		{Name: "arg", Aliases: []string{"core.arg"}, Help: "Lists the command-line arguments of the daemon.", Run: c.arg},
		{Name: "which", Aliases: []string{"system.listMethods"}, Help: "Lists the names of all commands.", Run: c.which},
		{Name: "help", Args: "[MI_CMD]", MaxArgs: 1, Help: "Describes a command, or lists all commands with their arguments.", Run: c.help},
		{Name: "ps", Aliases: []string{"core.psx"}, Help: "Shows the process of the daemon.", Run: c.ps},
		{Name: "kill", Aliases: []string{"core.kill"}, Help: "Stops the daemon.", Writes: true, Run: c.kill},
		{Name: "debug", Args: "[LEVEL]", MaxArgs: 1, Help: "Shows or sets the log level, from -1 (errors) to 3 (debug).", Writes: true, Run: c.level(kamailioLevels)},
		{Name: "log_level", Args: "[LEVEL]", MaxArgs: 1, Help: "Shows or sets the log level, from -1 (errors) to 4 (debug).", Writes: true, Run: c.level(opensipsLevels)},
		{Name: "reload", Help: "Reloads the configuration, and lists the changed keys and those that need a restart.", Writes: true, Timeout: time.Minute, Run: c.reload},
	}, c.statistics()...)
}

// uptime returns the time since the start. Kamailio's JSON-RPC has names of its own, and
// plain seconds.
func (c *Core) uptime(_ context.Context, req *Request) (*Node, error) {
	now := time.Now()
	up := int64(now.Sub(c.Started).Seconds())
	n := &Node{}
	if req.Dialect == Kamailio {
		n.Add("now", now.Format(time.ANSIC))
		n.Add("up_since", c.Started.Format(time.ANSIC))
		n.Add("uptime", up)
		return n, nil
	}
	n.Add("Now", now.Format(time.ANSIC))
	n.Add("Up since", c.Started.Format(time.ANSIC))
	if req.Dialect == Native {
		n.Add("Up time", up)
	} else {
		n.Add("Up time", fmt.Sprintf("%d [sec]", up))
	}
	return n, nil
}

// version returns the daemon's version. The first line is the one that kamctl monitor
// shows.
func (c *Core) version(_ context.Context, req *Request) (*Node, error) {
	if req.Dialect == Kamailio {
		return &Node{Value: fmt.Sprintf("%s %s (%s)", c.Name, c.Version, platform())}, nil
	}
	n := &Node{}
	n.Add("Server", fmt.Sprintf("%s (%s (%s))", c.Name, c.Version, platform()))
	n.Add("Build", "compiled with "+runtime.Version())
	if c.Revision != "" {
		n.Add("GIT", c.Revision)
	}
	return n, nil
}

// info returns the build under the names of Kamailio's core.info.
func (c *Core) info(context.Context, *Request) (*Node, error) {
	n := &Node{}
	n.Add("version", c.Name+" "+c.Version)
	n.Add("id", c.Revision)
	n.Add("compiler", runtime.Version())
	n.Add("platform", platform())
	return n, nil
}

// platform returns the platform in Kamailio's spelling.
func platform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x86_64"
	}
	return arch + "/" + runtime.GOOS
}

// pwd returns the working directory, for Kamailio's JSON-RPC in an array.
func (c *Core) pwd(_ context.Context, req *Request) (*Node, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the working directory: %w", err)
	}
	if req.Dialect == Kamailio {
		return &Node{List: true, Nodes: []*Node{{Value: dir}}}, nil
	}
	n := &Node{}
	n.Add("WD", dir)
	return n, nil
}

// arg returns the daemon's arguments.
func (c *Core) arg(context.Context, *Request) (*Node, error) {
	n := &Node{List: true}
	for _, a := range os.Args {
		n.Add("", a)
	}
	return n, nil
}

// which lists the names of the commands. Kamailio's JSON-RPC has the aliases too.
func (c *Core) which(_ context.Context, req *Request) (*Node, error) {
	var names []string
	for _, cmd := range c.Registry.Commands() {
		if req.Dialect == Kamailio {
			names = append(names, cmd.Aliases...)
		}
		names = append(names, cmd.Name)
	}
	if req.Dialect == Kamailio {
		slices.Sort(names)
	}
	n := &Node{List: true}
	for _, name := range names {
		n.Add("", name)
	}
	return n, nil
}

// help explains one command, or lists all of them.
func (c *Core) help(_ context.Context, req *Request) (*Node, error) {
	n := &Node{}
	if name := req.Arg(0); name != "" {
		cmd, ok := c.Registry.Lookup(name)
		if !ok {
			return nil, Errorf(404, "unknown command %s: `which` lists all commands", name)
		}
		n.Add("Help", cmd.Help)
		n.Add("Usage", usage(cmd))
		if len(cmd.Aliases) > 0 {
			n.Add("Also named", strings.Join(cmd.Aliases, " "))
		}
		return n, nil
	}
	for _, cmd := range c.Registry.Commands() {
		if req.Dialect == Native {
			// For siloctl, which may be of another version and not know the command.
			n.Add(cmd.Name, nil, Attr{"args", cmd.Args}, Attr{"help", cmd.Help},
				Attr{"aliases", strings.Join(cmd.Aliases, " ")},
				Attr{"min_args", cmd.MinArgs}, Attr{"max_args", cmd.MaxArgs}, Attr{"writes", cmd.Writes})
			continue
		}
		n.Add(usage(cmd), cmd.Help)
	}
	return n, nil
}

// usage returns the command with its arguments, as a user writes it.
func usage(cmd Command) string { return strings.TrimSpace(cmd.Name + " " + cmd.Args) }

// ps returns the daemon's only process.
func (c *Core) ps(_ context.Context, req *Request) (*Node, error) {
	pid, n := os.Getpid(), &Node{}
	switch req.Dialect {
	case Kamailio:
		n.List = true
		n.Add("", nil, Attr{"IDX", 0}, Attr{"PID", pid}, Attr{"DSC", c.Name})
	case OpenSIPS:
		list := n.Add("Processes", nil)
		list.List = true
		list.Add("", nil, Attr{"ID", 0}, Attr{"PID", pid}, Attr{"Type", c.Name})
	default:
		n.Add("Process", nil, Attr{"ID", 0}, Attr{"PID", pid}, Attr{"Type", c.Name})
	}
	return n, nil
}

// kill stops the daemon. The client still gets its reply: replies in progress are finished
// before the daemon ends.
func (c *Core) kill(context.Context, *Request) (*Node, error) {
	if c.Stop == nil {
		return nil, Errorf(501, "this daemon cannot be stopped by a command")
	}
	c.Stop()
	return nil, nil
}

// reload reads the configuration again. The reply has the changed keys, and those that
// need a restart.
func (c *Core) reload(ctx context.Context, _ *Request) (*Node, error) {
	if c.Reload == nil {
		return nil, Errorf(501, "this daemon cannot reload its configuration")
	}
	return c.Reload(ctx)
}

// levels are the numbers of log levels in one dialect, and the name of a level in replies.
type levels struct {
	label                    string
	err, warn, info, debugNo int
}

// The numbers of Kamailio and of OpenSIPS.
var (
	kamailioLevels = levels{"DEBUG", -1, 0, 2, 3}
	opensipsLevels = levels{"Log level", -1, 1, 3, 4}
)

// level returns the function of debug or log_level, which differ in the numbers.
func (c *Core) level(l levels) func(context.Context, *Request) (*Node, error) {
	return func(_ context.Context, req *Request) (*Node, error) {
		if c.Level == nil {
			return nil, Errorf(501, "the log level of this daemon is fixed")
		}
		if len(req.Args) > 0 {
			level, err := l.parse(req.Arg(0))
			if err != nil {
				return nil, Errorf(400, "Bad parameter")
			}
			c.Level.Set(level)
		}
		n := &Node{}
		n.Add(l.label, l.number(c.Level.Level()))
		return n, nil
	}
}

// parse reads a level: one of the numbers, or slog's name of a level.
func (l levels) parse(s string) (slog.Level, error) {
	var level slog.Level
	if level.UnmarshalText([]byte(s)) == nil { // "debug", "info", ...
		return level, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n < -5 || n > l.debugNo:
		return 0, errors.New("no such level")
	case n <= l.err:
		return slog.LevelError, nil
	case n <= l.warn:
		return slog.LevelWarn, nil
	case n <= l.info: // "notice" is between warn and info
		return slog.LevelInfo, nil
	}
	return slog.LevelDebug, nil
}

// number returns the number of one of slog's levels.
func (l levels) number(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return l.err
	case level >= slog.LevelWarn:
		return l.warn
	case level >= slog.LevelInfo:
		return l.info
	}
	return l.debugNo
}
