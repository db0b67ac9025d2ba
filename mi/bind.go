package mi

import (
	"slices"
	"strings"
)

// usageNames returns the argument names in a usage text in lower case: room and limit for
// "ROOM [LIMIT]", name for "NAME...".
func usageNames(usage string) []string {
	names := strings.FieldsFunc(strings.ToLower(usage), func(c rune) bool {
		return c == ' ' || c == '[' || c == ']'
	})
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "...")
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}

// bind returns a copy of the request with its arguments in the order of the command's
// usage. The error is ErrArguments if their number is wrong.
func bind(cmd *Command, req *Request) (*Request, error) {
	bound := *req
	if req.Dialect == OpenSIPS || req.Dialect == Native {
		// In the other dialects names have no meaning.
		bound.Args, bound.gaps = order(usageNames(cmd.Args), req.Args)
		if len(bound.gaps) > 0 && bound.gaps[0] < cmd.MinArgs {
			return nil, ErrArguments
		}
	}
	switch n := len(bound.Args); {
	case cmd.MaxArgs == 0:
		// As in Kamailio, `which` and the like ignore arguments.
		bound.Args = nil
	case cmd.MaxArgs > 0 && n > cmd.MaxArgs && req.Dialect == Kamailio && !cmd.Writes:
		bound.Args = bound.Args[:cmd.MaxArgs] // Kamailio's JSON-RPC ignores further arguments
	case cmd.MaxArgs > 0 && n > cmd.MaxArgs:
		return nil, ErrArguments
	}
	if len(bound.Args) < cmd.MinArgs {
		return nil, ErrArguments
	}
	return &bound, nil
}

// order returns named arguments in the order of the usage. An argument that is missing
// before another one is an empty Arg; gaps are the indexes of such Args. Arguments by position
// keep their order, and so do all arguments if one of the names is not in the usage, as the
// command may know it.
func order(names []string, args []Arg) (ordered []Arg, gaps []int) {
	slots := make([][]Arg, len(names))
	last := -1
	for _, a := range args {
		i := slices.Index(names, strings.ToLower(a.Name))
		if a.Name == "" || i < 0 {
			return args, nil
		}
		slots[i] = append(slots[i], a) // a repeated name is a list: NAME...
		last = max(last, i)
	}
	for i := range last {
		if slots[i] == nil {
			slots[i], gaps = []Arg{{}}, append(gaps, i)
		}
	}
	return slices.Concat(slots[:last+1]...), gaps
}
