package mi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The limits of a call.
const (
	defaultTimeout = 10 * time.Second
	maxCalls       = 32 // commands that run at one time
)

// errCanceled ends a call when its client disconnects, or the daemon stops.
var errCanceled = &Error{503, "request canceled"}

// Registry holds every command and statistic of the daemon.
type Registry struct {
	log   *slog.Logger
	slots chan struct{} // holds one element for each command that runs

	mu       sync.RWMutex
	names    map[string]Command // by name and by alias
	commands []Command          // as they were added
	groups   map[string][]Stat  // sorted by name

	settings atomic.Pointer[Settings]
	load     atomic.Pointer[func() int64] // from YieldTo

	calls, refused, failed Counter
}

// Settings are the options that Configure replaces while commands run.
type Settings struct {
	// Indent is the string before a classic line, once for each level: Kamailio's
	// reply_indent. The default is a TAB.
	Indent string
}

// Configure replaces the settings, for replies from now on.
func (r *Registry) Configure(set Settings) { r.settings.Store(&set) }

// NewRegistry returns a registry without commands. It has statistics about itself.
func NewRegistry(log *slog.Logger) *Registry {
	r := &Registry{
		log:    log,
		slots:  make(chan struct{}, maxCalls),
		names:  map[string]Command{},
		groups: map[string][]Stat{},
	}
	r.Configure(Settings{Indent: "\t"})
	r.Counters("mi",
		Stat{Name: "commands", Help: "Management commands run.", Counter: &r.calls},
		Stat{Name: "refused_commands", Help: "Management commands answered with an error.", Counter: &r.refused},
		Stat{Name: "failed_commands", Help: "Management commands that failed with an internal error.", Counter: &r.failed},
		Stat{Name: "running_commands", Help: "Management commands in progress.", Gauge: func() int64 { return int64(len(r.slots)) }},
	)
	return r
}

// Add registers commands. It panics if a name is empty or taken, or a command has no Run.
func (r *Registry) Add(cmds ...Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range cmds {
		if c.Run == nil {
			panic("mi: command " + c.Name + " does nothing")
		}
		for _, name := range append([]string{c.Name}, c.Aliases...) {
			if _, taken := r.names[name]; taken || name == "" {
				panic(fmt.Sprintf("mi: command name %q is empty or taken", name))
			}
			r.names[name] = c
		}
		r.commands = append(r.commands, c)
	}
}

// Lookup returns the command with that name or alias. Upper and lower case differ.
func (r *Registry) Lookup(name string) (Command, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.names[name]
	return c, ok
}

// Has reports whether there is a command with that name or alias.
func (r *Registry) Has(name string) bool {
	_, ok := r.Lookup(name)
	return ok
}

// Commands returns all commands in the order in which they were added.
func (r *Registry) Commands() []Command {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.commands)
}

// Call runs a command. Errors are of type *Error: ErrNoCommand, ErrArguments, the command's
// own refusal, or ErrFailed, the cause of which is logged. A reply with a Stream uses ctx
// until its end.
func (r *Registry) Call(ctx context.Context, req *Request) (*Node, error) {
	r.calls.Inc()
	cmd, ok := r.Lookup(req.Command)
	if !ok {
		r.refused.Inc()
		return nil, ErrNoCommand
	}
	bound, err := bind(&cmd, req)
	if err != nil {
		r.refused.Inc()
		return nil, err
	}
	start := time.Now()
	node, err := r.run(ctx, &cmd, bound)
	r.record(&cmd, bound, time.Since(start), err)
	if err == nil {
		return node, nil
	}
	if refusal, ok := errors.AsType[*Error](err); ok {
		return nil, refusal
	}
	return nil, ErrFailed
}

// run waits for a slot, then for the command, and returns when the command's timeout has
// passed. A command that ignores the end of its context keeps its slot.
func (r *Registry) run(ctx context.Context, cmd *Command, req *Request) (*Node, error) {
	limit := cmd.Timeout
	if limit == 0 {
		limit = defaultTimeout
	}
	// Not WithTimeout: a reply may stream for longer than the command's timeout.
	ctx, cancel := context.WithCancel(ctx)
	streaming := false
	defer func() {
		if !streaming {
			cancel()
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()

	type result struct {
		node *Node
		err  error
	}
	done := make(chan result, 1)
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, errCanceled
	case <-timer.C:
		return nil, Errorf(503, "too many commands are running: try again")
	}
	go func() {
		defer func() { <-r.slots }()
		var res result
		res.node, res.err = recovered(func() (*Node, error) { return cmd.Run(ctx, req) })
		done <- res
	}()
	select {
	case res := <-done:
		streaming = res.err == nil && res.node.streams()
		return res.node, res.err
	case <-ctx.Done():
		return nil, errCanceled
	case <-timer.C:
		return nil, Errorf(504, "%s did not finish within %v", cmd.Name, limit)
	}
}

// recovered calls f and returns a panic of f as an error.
func recovered[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// record counts a call and logs it: a change with its peer at level info, a failure with
// its cause as an error, and all others at level debug.
func (r *Registry) record(cmd *Command, req *Request, took time.Duration, err error) {
	level := slog.LevelDebug
	if _, ok := errors.AsType[*Error](err); ok {
		r.refused.Inc()
	} else if err != nil {
		r.failed.Inc()
		level = slog.LevelError
	}
	if cmd.Writes {
		level = max(level, slog.LevelInfo)
	}
	ctx := context.Background()
	if !r.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("command", cmd.Name),
		slog.String("peer", req.Peer),
		slog.String("args", loggable(cmd, req.Args)),
		slog.Duration("took", took),
	}
	if err != nil {
		attrs = append(attrs, slog.Any("error", err))
	}
	r.log.LogAttrs(ctx, level, "management command", attrs...)
}

// secretWords mark arguments that are not logged, as parts of their names.
var secretWords = []string{"password", "secret", "token", "ha1", "text", "body", "headers"}

// loggable returns the arguments for the log. The value of an argument without a known name
// is left out, as it may be a password.
func loggable(cmd *Command, args []Arg) string {
	names := usageNames(cmd.Args)
	var b strings.Builder
	for i, a := range args {
		name := a.Name
		switch {
		case i < len(names):
			name = names[i]
		case len(names) > 0 && strings.HasSuffix(strings.TrimRight(cmd.Args, "]"), "..."):
			name = names[len(names)-1]
		}
		value := "(not logged)"
		if name != "" && !private(cmd, name) {
			value = fmt.Sprintf("%.100q", a.Value)
		}
		fmt.Fprintf(&b, "%s=%s ", cmp.Or(name, "?"), value)
	}
	return strings.TrimSpace(b.String())
}

// private reports whether the value of the argument is not logged.
func private(cmd *Command, name string) bool {
	same := func(p string) bool { return strings.EqualFold(p, name) }
	within := func(w string) bool { return strings.Contains(strings.ToLower(name), w) }
	return slices.ContainsFunc(cmd.Private, same) || slices.ContainsFunc(secretWords, within)
}

// streams reports whether the tree has a Stream.
func (n *Node) streams() bool {
	return n != nil && (n.Stream != nil || slices.ContainsFunc(n.Nodes, (*Node).streams))
}
