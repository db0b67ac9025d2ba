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

// The bounds of a call.
const (
	defaultTimeout = 10 * time.Second
	maxCalls       = 32 // commands that run at one time
)

// errGivenUp is for a client that has gone, or a daemon that stops.
var errGivenUp = &Error{503, "the request was given up"}

// Registry holds every command and statistic of the daemon.
type Registry struct {
	log   *slog.Logger
	slots chan struct{}

	mu       sync.RWMutex
	names    map[string]Command // by name and by alias
	commands []Command          // as they were added
	groups   map[string][]Stat  // sorted by name

	indent    atomic.Pointer[string]
	preferred atomic.Pointer[func() int64]

	calls, refused, failed Counter
}

// SetIndent says what stands in front of a classic line, once for each level, from
// now on: Kamailio's reply_indent. It is a TAB until then.
func (r *Registry) SetIndent(s string) { r.indent.Store(&s) }

// NewRegistry makes a registry that has statistics of its own, but no command.
func NewRegistry(log *slog.Logger) *Registry {
	r := &Registry{
		log:    log,
		slots:  make(chan struct{}, maxCalls),
		names:  map[string]Command{},
		groups: map[string][]Stat{},
	}
	r.SetIndent("\t")
	r.Counters("mi",
		Stat{Name: "commands", Help: "Management commands run.", Counter: &r.calls},
		Stat{Name: "refused_commands", Help: "Management commands answered with an error.", Counter: &r.refused},
		Stat{Name: "failed_commands", Help: "Management commands that failed inside the daemon.", Counter: &r.failed},
		Stat{Name: "running_commands", Help: "Management commands that run now.", Gauge: func() int64 { return int64(len(r.slots)) }},
	)
	return r
}

// Add registers commands. A name that is taken, or a command without a Run, is a
// programmer's error and panics.
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

// Lookup gives the command of that name or alias. Case matters.
func (r *Registry) Lookup(name string) (Command, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.names[name]
	return c, ok
}

// Commands gives all commands in the order in which they were added.
func (r *Registry) Commands() []Command {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.commands)
}

// Call runs a command. What it refuses, or a failure of its own, comes back as an
// *Error; the cause of a failure goes to the log. A reply that streams reads
// from ctx until its end.
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

// run waits for a slot, then for the command, and for neither beyond the
// command's time. A command that does not heed its context keeps its slot, but
// not its client.
func (r *Registry) run(ctx context.Context, cmd *Command, req *Request) (*Node, error) {
	limit := cmd.Timeout
	if limit == 0 {
		limit = defaultTimeout
	}
	// Not WithTimeout: a reply may stream for longer than the command may think.
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
		return nil, errGivenUp
	case <-timer.C:
		return nil, Errorf(503, "too many commands are running: try again")
	}
	go func() {
		defer func() { <-r.slots }()
		var res result
		res.node, res.err = guard(func() (*Node, error) { return cmd.Run(ctx, req) })
		done <- res
	}()
	select {
	case res := <-done:
		streaming = res.err == nil && res.node.streams()
		return res.node, res.err
	case <-ctx.Done():
		return nil, errGivenUp
	case <-timer.C:
		return nil, Errorf(504, "%s did not finish within %v", cmd.Name, limit)
	}
}

// guard turns a panic into an error.
func guard[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// record counts the call and logs it: a change with who made it, a failure with
// its cause, everything else only for debugging.
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

// secretWords are parts of argument names whose values belong in no log.
var secretWords = []string{"password", "secret", "token", "ha1", "text", "body", "headers"}

// loggable writes the arguments for the log. An argument whose name is not known
// may be anything, a password too: it is only counted.
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

// private tells whether an argument of that name stays out of the log.
func private(cmd *Command, name string) bool {
	same := func(p string) bool { return strings.EqualFold(p, name) }
	within := func(w string) bool { return strings.Contains(strings.ToLower(name), w) }
	return slices.ContainsFunc(cmd.Private, same) || slices.ContainsFunc(secretWords, within)
}

// streams tells whether part of the tree is still to be read.
func (n *Node) streams() bool {
	return n != nil && (n.Stream != nil || slices.ContainsFunc(n.Nodes, (*Node).streams))
}
