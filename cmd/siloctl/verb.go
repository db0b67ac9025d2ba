package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"silod/mi"
)

// A noun is a group of commands about one kind of thing.
type noun struct {
	name, short string
	verbs       []verb
	more        []*cobra.Command // commands that are not one management command
}

// A verb is a command of siloctl that runs a management command.
type verb struct {
	use      string // "show ROOM": the upper-case words are the arguments
	short    string
	long     string
	example  string
	mi       string                     // the management command
	miFor    func(args []string) string // where the command depends on the arguments
	min, max int                        // arguments; max below 0: any number
	flags    func(*pflag.FlagSet)

	// args returns the management command's arguments; nil: those that were typed.
	args func(flags *pflag.FlagSet, args []string) ([]mi.Arg, error)

	list bool     // the reply is a list, shown as a table
	sum  string   // the number in the reply that is added up if the daemon works in slices
	hide []string // columns that only -o json has
	none string   // the text for an empty list

	each bool     // called once for each argument
	ask  string   // the question before the command; %1 is its first argument
	done string   // the text after the command; %1 is its first argument
	live []string // for each argument the list command that completes it, or liveRoles
}

// The commands that list the values of an argument.
const (
	liveRooms    = "imc_list_rooms"
	liveUsers    = "sub_list"
	liveContacts = "ul_dump"
	liveMessages = "silo_list"
	liveRoles    = "roles" // not a command
)

// noun returns the command of a noun, which is an error without one of its verbs.
func (a *app) noun(n noun) *cobra.Command {
	cmd := &cobra.Command{
		Use: n.name, Short: n.short, GroupID: groupAdmin,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			names := []string{}
			for _, c := range cmd.Commands() {
				names = append(names, c.Name())
			}
			if len(args) == 0 {
				return usagef("missing command for %q; available: %s", cmd.CommandPath(), strings.Join(names, ", "))
			}
			return usagef("unknown command %q for %q; available: %s", args[0], cmd.CommandPath(), strings.Join(names, ", "))
		},
	}
	for _, v := range n.verbs {
		cmd.AddCommand(a.verb(v))
	}
	cmd.AddCommand(n.more...)
	return cmd
}

// verb returns the command of a verb.
func (a *app) verb(v verb) *cobra.Command {
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Example: v.example, DisableFlagsInUseLine: true,
		Args: addresses(v.min, v.max),
		RunE: func(cmd *cobra.Command, args []string) error { return a.do(cmd.Context(), v, cmd.Flags(), args) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			i := len(args)
			if v.each && len(v.live) == 1 {
				i = 0
			}
			if i >= len(v.live) || v.live[i] == "" {
				return nil, noFiles
			}
			if v.live[i] == liveRoles {
				return roles, noFiles
			}
			return a.values(cmd.Context(), v.live[i], typed), noFiles
		},
	}
	if v.flags != nil {
		v.flags(cmd.Flags())
	}
	a.completeNames(cmd)
	return cmd
}

// do runs a verb: it asks the question if there is one, calls the daemon and shows the reply.
func (a *app) do(ctx context.Context, v verb, flags *pflag.FlagSet, args []string) error {
	if v.ask != "" {
		if err := a.confirm(ctx, sentence(v.ask, args)); err != nil {
			return err
		}
	}
	if v.each {
		for _, arg := range args {
			if err := a.once(ctx, v, flags, []string{arg}); err != nil {
				return fmt.Errorf("%s: %w", arg, err)
			}
		}
		return nil
	}
	return a.once(ctx, v, flags, args)
}

// once runs a verb one time. args are its arguments as they were typed.
func (a *app) once(ctx context.Context, v verb, flags *pflag.FlagSet, args []string) error {
	list := positional(args)
	if v.args != nil {
		var err error
		if list, err = v.args(flags, args); err != nil {
			return err
		}
	}
	if v.miFor != nil {
		v.mi = v.miFor(args)
	}
	return a.perform(ctx, v, args, list)
}

// perform calls the daemon with list, the management command's arguments, and shows the reply. args
// are those that were typed.
func (a *app) perform(ctx context.Context, v verb, args []string, list []mi.Arg) error {
	c := call{command: v.mi, args: list, hide: v.hide, none: v.none}
	if v.list {
		return a.list(ctx, c)
	}
	if v.sum != "" && a.output != "mi" {
		sum, err := a.sum(ctx, v.sum, v.mi, list)
		if err != nil {
			return err
		}
		return a.reply(&mi.Node{Nodes: []*mi.Node{{Name: v.sum, Value: sum}}})
	}
	if err := a.show(ctx, c); err != nil {
		return err
	}
	if v.done != "" && a.output == "table" {
		fmt.Fprintln(a.out, clean(sentence(v.done, args)))
	}
	return nil
}

// sentence returns a text for people in which %1, %2 and so on are replaced by the arguments.
func sentence(text string, args []string) string {
	var pairs []string
	for i, arg := range args {
		pairs = append(pairs, "%"+strconv.Itoa(i+1), readable(arg))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// positional returns arguments without names.
func positional(args []string) []mi.Arg {
	list := make([]mi.Arg, len(args))
	for i, arg := range args {
		list[i].Value = arg
	}
	return list
}

// named returns the arguments that have a value.
func named(pairs ...mi.Arg) []mi.Arg {
	return slices.DeleteFunc(pairs, func(a mi.Arg) bool { return a.Value == "" })
}

// arguments returns a check of the number of arguments; most below 0: any number. It finds the name of
// a missing one in the usage line.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch n := len(args); {
		case n < least:
			return usagef("missing argument %s", strings.TrimSuffix(strings.Fields(cmd.Use)[n+1], "..."))
		case most >= 0 && n > most:
			return usagef("unexpected argument %q", args[most])
		}
		return nil
	}
}
