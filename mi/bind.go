package mi

import (
	"slices"
	"strings"
)

// usageNames are the argument names in a usage text, lower case:
// "ROOM [LIMIT]" gives room and limit, "NAME..." gives name.
func usageNames(usage string) []string {
	names := strings.FieldsFunc(strings.ToLower(usage), func(c rune) bool {
		return c == ' ' || c == '[' || c == ']'
	})
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "...")
	}
	return slices.DeleteFunc(names, func(s string) bool { return s == "" })
}

// bind brings a request's arguments into the order of the command's usage and
// checks their number. The request itself is left alone.
func bind(cmd *Command, req *Request) (*Request, error) {
	bound := *req
	if req.Dialect == OpenSIPS || req.Dialect == Native {
		// The others count positions only, whatever names they give.
		var gap int
		if bound.Args, gap = order(usageNames(cmd.Args), req.Args); gap < cmd.MinArgs {
			return nil, ErrArguments
		}
	}
	switch n := len(bound.Args); {
	case cmd.MaxArgs == 0:
		// As ever: what `which` and the like are given beyond need is passed over.
		bound.Args = nil
	case cmd.MaxArgs > 0 && n > cmd.MaxArgs && req.Dialect == Kamailio && !cmd.Writes:
		bound.Args = bound.Args[:cmd.MaxArgs] // the same in Kamailio's JSON-RPC
	case cmd.MaxArgs > 0 && n > cmd.MaxArgs:
		return nil, ErrArguments
	}
	if len(bound.Args) < cmd.MinArgs {
		return nil, ErrArguments
	}
	return &bound, nil
}

// order puts named arguments where the usage has their names. One that is missing
// before a given one leaves an empty Arg; gap is the first such, or else beyond
// the last. Arguments by position stay where they are, and so do all when a name
// is not in the usage: the command may know it.
func order(names []string, args []Arg) (ordered []Arg, gap int) {
	slots := make([][]Arg, len(names))
	last := -1
	for _, a := range args {
		i := slices.Index(names, strings.ToLower(a.Name))
		if a.Name == "" || i < 0 {
			return args, len(args)
		}
		slots[i] = append(slots[i], a) // a name given twice is a list: NAME...
		last = max(last, i)
	}
	gap = len(args)
	for i := last; i >= 0; i-- {
		if slots[i] == nil {
			slots[i], gap = []Arg{{}}, i
		}
	}
	return slices.Concat(slots[:last+1]...), gap
}
