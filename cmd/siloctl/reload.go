package main

import "github.com/spf13/cobra"

// reloadCommand returns the command that reloads the configuration.
func (a *app) reloadCommand() *cobra.Command {
	cmd := a.verb(verb{
		use: "reload", short: "Have the daemon read its configuration again",
		long: "The file is read and checked as a whole; if anything is wrong with it, nothing changes.\n" +
			"The table tells each key that has changed, and whether it counts now or after a restart.",
		mi: "reload", list: true, none: "nothing has changed in the configuration",
	})
	cmd.GroupID = groupAdmin
	return cmd
}
