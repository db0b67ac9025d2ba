package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"silod/mi"
)

// The groups of commands in the help text.
const (
	groupAdmin = "admin"
	groupTry   = "try"
)

// root returns the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "siloctl COMMAND",
		Short: "Administer and test silod",
		Long: "siloctl administers a running silod over its control socket, and tests it with messages over SIP.\n\n" +
			"A first word that is not listed below is run as a management command of the daemon:\n" +
			"`siloctl get_statistics all`. `siloctl which` lists them.\n\n" +
			"USER, ROOM and the like are names such as alice, which are in the daemon's main domain, or addresses\n" +
			"such as alice@example.org or sip:alice@example.org. Escapes make no difference: jürgen is j%C3%BCrgen.\n" +
			"Tables show users decoded, but %20 for a space, so that each name can be used as an argument; -o json\n" +
			"has them as they are sent over SIP.",
		Example: "  siloctl rooms list\n  siloctl messages list --stuck\n" +
			"  siloctl send alice@example.org bob@example.org \"are you there?\"\n  siloctl -o json contacts list",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return a.passThrough(cmd, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, noFiles
			}
			return a.commandNames(cmd.Context()), noFiles
		},
		PersistentPreRunE:          func(*cobra.Command, []string) error { return a.checkFlags() },
		SilenceErrors:              true,
		DisableFlagsInUseLine:      true,
		SilenceUsage:               true,
		Version:                    ownVersion(),
		SuggestionsMinimumDistance: 2,
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%s", err) })
	a.globalFlags(root)
	root.AddGroup(&cobra.Group{ID: groupAdmin, Title: "Administration:"}, &cobra.Group{ID: groupTry, Title: "Tests over SIP:"})
	for _, n := range a.nouns() {
		root.AddCommand(a.noun(n))
	}
	root.AddCommand(a.statsCommand(), a.topCommand(), a.watchCommand(), a.reloadCommand())
	root.AddCommand(a.sendCommand(), a.listenCommand(), manCommand(root))
	root.SetHelpCommand(a.helpCommand())
	return root
}

// nouns returns all nouns, each of which has a file of its own.
func (a *app) nouns() []noun {
	return []noun{
		roomsNoun(), membersNoun(), a.messagesNoun(), remindersNoun(), contactsNoun(), a.usersNoun(), bansNoun(),
		a.configNoun(), a.dbNoun(),
	}
}

// passThrough runs a management command by its own name. If a verb runs the same command, it asks the
// same question and shows the reply in the same way.
func (a *app) passThrough(cmd *cobra.Command, args []string) error {
	v := a.verbFor(args[0])
	if v.ask != "" {
		// "it" stands for a missing argument, which the daemon refuses.
		if err := a.confirm(cmd.Context(), sentence(v.ask, append(slices.Clip(args[1:]), "it"))); err != nil {
			return err
		}
	}
	c := call{command: args[0], args: positional(args[1:]), hide: v.hide, none: v.none}
	var err error
	switch {
	case a.output == "mi":
		err = a.raw(cmd.Context(), c)
	case v.list:
		err = a.list(cmd.Context(), c)
	default:
		err = a.show(cmd.Context(), c)
	}
	if errors.Is(err, mi.ErrNoCommand) {
		return a.unknown(cmd, args[0])
	}
	return err
}

// dangerous are the management commands without a verb that need a confirmation.
var dangerous = []verb{
	{mi: "kill", ask: "Stop the daemon?"},
	{mi: "silo_purge", ask: "Delete stored messages for good?"},
}

// verbFor returns the verb of a management command, or an empty one.
func (a *app) verbFor(command string) verb {
	for _, n := range append(a.nouns(), noun{verbs: dangerous}) {
		for _, v := range n.verbs {
			if v.mi == command {
				return v
			}
		}
	}
	return verb{}
}

// unknown returns the error of an unknown command, with similar names.
func (a *app) unknown(root *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q for siloctl and for the daemon", name)
	if near := root.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// helpCommand returns the command that explains siloctl's commands, and asks the daemon about its own.
func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command of siloctl or of the daemon",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			target, rest, err := root.Find(args)
			if err == nil && (target != root || len(args) == 0) && len(rest) == 0 {
				return target.Help()
			}
			n, err := a.ask(cmd.Context(), "help", mi.Arg{Value: args[0]})
			if err != nil {
				return err
			}
			return a.tree(n, "")
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, noFiles
			}
			names := a.commandNames(cmd.Context())
			for _, c := range cmd.Root().Commands() {
				names = append(names, c.Name()+"\t"+c.Short)
			}
			return names, noFiles
		},
	}
}

// version is set by the linker: see the Makefile.
var version string

// ownVersion returns the version of siloctl, for --version. `siloctl version` shows the daemon's.
func ownVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// commandNames returns the daemon's commands with their help, for completion.
func (a *app) commandNames(ctx context.Context) []string {
	return a.entries(ctx, "help", func(n *mi.Node) string {
		for _, at := range n.Attrs {
			if at.Name == "help" {
				return n.Name + "\t" + clean(fmt.Sprint(at.Value))
			}
		}
		return n.Name
	})
}
