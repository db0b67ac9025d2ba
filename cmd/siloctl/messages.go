package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"silod/mi"
)

// messagesNoun returns the commands for stored messages.
func (a *app) messagesNoun() noun {
	return noun{name: "messages", short: "Stored messages: list, show, count, send, deliver, requeue, delete, purge, export, import", verbs: []verb{
		{
			use: "list", short: "List stored messages, oldest first",
			example: "  siloctl messages list --user bob@example.org\n  siloctl messages list --stuck -o json",
			mi:      "silo_list", list: true, none: "no messages", hide: []string{"call_id"},
			flags: func(f *pflag.FlagSet) {
				selection(f)
				f.Int64("after", 0, "only those with an ID above this")
				f.Int("limit", 0, "the greatest number to list; 0 for all")
			},
			args: a.found,
		},
		{
			use: "show ID", short: "Show one stored message with its text",
			long: "A device that has refused the message, or has received a copy, is shown with its answer.",
			mi:   "silo_show", min: 1, max: 1, live: []string{liveMessages},
		},
		{
			use: "count", short: "Count stored messages",
			long: "A mailbox is counted at once, ten million messages within a minute or so. siloctl asks for a part of\n" +
				"them at a time, so that --timeout does not limit the whole.",
			mi: "silo_count", sum: "count", flags: selection, args: selected,
		},
		{
			use: "send FROM TO TEXT", short: "Store a message for a user, or deliver it at once if the user is online",
			long:    "The message is stored as one that FROM has sent. `siloctl send` sends one over SIP.",
			example: "  siloctl messages send admin@example.org bob@example.org \"maintenance at six\"",
			mi:      "silo_send", min: 3, max: 3, live: []string{liveUsers, liveUsers},
		},
		{
			use: "deliver USER", short: "Deliver a user's stored messages now",
			long: "Devices that have refused a message are not asked again: see requeue.",
			mi:   "silo_dump", min: 1, max: 1, live: []string{liveUsers}, done: "started delivery to %1",
		},
		{
			use: "requeue ID...", short: "Requeue messages that devices have refused",
			long: "`siloctl messages list --stuck` shows which were set aside, and why. They are sent again, also to\n" +
				"the devices that have refused them.",
			mi: "silo_requeue", min: 1, max: -1, each: true, live: []string{liveMessages}, done: "requeued message %1",
		},
		{
			use: "delete ID...", short: "Delete stored messages",
			mi: "silo_delete", min: 1, max: -1, each: true, live: []string{liveMessages},
			ask: "Delete message %1?", done: "deleted message %1",
		},
	}, more: []*cobra.Command{a.purgeCommand(), a.exportCommand(), a.importCommand()}}
}

// selection declares the flags that select stored messages.
func selection(f *pflag.FlagSet) {
	f.String("user", "", "only those for this user")
	f.String("from", "", "only those from this sender")
	f.String("older-than", "", "only those stored longer ago: 90m, 36h, 30d")
	f.Bool("stuck", false, "only those that were set aside")
}

// selected returns the named arguments of the silo_ commands for the flags of selection. A flag with an
// empty value is an error: it must not select the messages of all users.
func selected(f *pflag.FlagSet, _ []string) ([]mi.Arg, error) {
	user, err := nameFlag(f, "user")
	if err != nil {
		return nil, err
	}
	from, err := senderFlag(f, "from")
	if err != nil {
		return nil, err
	}
	age := flagText(f, "older-than")
	if f.Changed("older-than") && strings.TrimSpace(age) == "" {
		return nil, usagef("--older-than is empty: write a time such as 36h or 30d")
	}
	return named(
		mi.Arg{Name: "owner", Value: user},
		mi.Arg{Name: "from", Value: from},
		mi.Arg{Name: "older_than", Value: age},
		mi.Arg{Name: "stuck", Value: flagText(f, "stuck")},
		mi.Arg{Name: "after", Value: flagText(f, "after")},
		mi.Arg{Name: "limit", Value: flagText(f, "limit")},
	), nil
}

// flagText returns the text of a flag that was given, or "".
func flagText(f *pflag.FlagSet, name string) string {
	if fl := f.Lookup(name); fl != nil && fl.Changed {
		return fl.Value.String()
	}
	return ""
}

// found is selected for a command that lists messages. If few match, it may take long to find them.
func (a *app) found(f *pflag.FlagSet, args []string) ([]mi.Arg, error) {
	if (f.Changed("from") || f.Changed("older-than")) && !f.Changed("timeout") {
		a.target.Timeout = -1
	}
	return selected(f, args)
}
