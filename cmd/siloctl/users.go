package main

import (
	"github.com/spf13/cobra"
)

// usersNoun returns the commands for users with a password.
func (a *app) usersNoun() noun {
	return noun{name: "users", short: "Users with a password: list, add, passwd, remove", verbs: []verb{
		{use: "list", short: "List the users who have a password", mi: "sub_list", list: true, none: "no users"},
		{
			use: "remove USER", short: "Remove a user with contacts, waiting messages and places in rooms",
			mi: "sub_remove", min: 1, max: 1, live: []string{liveUsers},
			ask: "Remove user %1?", done: "removed user %1",
		},
	}, more: []*cobra.Command{
		a.passwordCommand("add USER", "Add a user with a password", "sub_add", "added user %1"),
		a.passwordCommand("passwd USER", "Change the password of a user", "sub_passwd", "changed the password of user %1"),
	}}
}

// passwordCommand returns a command that sets a password. The password is not an argument, which
// other users of the machine can see.
func (a *app) passwordCommand(use, short, command, done string) *cobra.Command {
	var fromStdin bool
	cmd := &cobra.Command{
		Use: use, Short: short, Args: addresses(1, 1),
		Long:    short + ". The password is asked for on a terminal, or read from standard input.",
		Example: "  printf '%s\\n' \"$PASSWORD\" | siloctl users " + use[:len(use)-len(" USER")] + " bob@example.org --password-stdin",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := a.password(cmd.Context(), fromStdin, "password for "+readable(args[0]), true)
			if err != nil {
				return err
			}
			v := verb{mi: command, done: done}
			return a.perform(cmd.Context(), v, args, positional([]string{args[0], password}))
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, noFiles
			}
			return a.values(cmd.Context(), liveUsers, typed), noFiles
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from standard input")
	return cmd
}
