package main

import "github.com/spf13/cobra"

// reloadCommand returns the command that reloads the configuration.
func (a *app) reloadCommand() *cobra.Command {
	cmd := a.verb(verb{
		use: "reload", short: "Reload the configuration of the daemon",
		long: "The file is read and checked as a whole: after an error nothing changes.\n" +
			"The table shows each changed key, and whether it takes effect now or after a restart.",
		mi: "reload", list: true, none: "no changes in the configuration",
	})
	cmd.GroupID = groupAdmin
	return cmd
}
