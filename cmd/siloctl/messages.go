package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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
			args: selected,
		},
		{
			use: "show ID", short: "Show one stored message with its text",
			long: "A device that has refused the message, or has received a copy, is shown with its answer.",
			mi:   "silo_show", min: 1, max: 1, live: []string{liveMessages},
		},
		{
			use: "count", short: "Count stored messages", mi: "silo_count", flags: selection, args: selected,
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

// purgeBatch is the number of messages that one command deletes. Between two commands the daemon can
// store others.
const purgeBatch = 500

// purgeCommand returns the command that deletes many messages.
func (a *app) purgeCommand() *cobra.Command {
	var dry bool
	var rate int
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete all stored messages of a user, a sender or an age",
		Long: "Deletes the messages that the flags select, in batches: the daemon stores others in between.\n" +
			"Without a selection --all is required.",
		Example: "  siloctl messages purge --older-than 30d --dry-run\n  siloctl messages purge --user bob@example.org --yes",
		Args:    arguments(0, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, _ := cmd.Flags().GetBool("all")
			which, err := selected(cmd.Flags(), args)
			if err != nil {
				return err
			}
			if chosen := len(which) > 0; chosen == all {
				return usagef("missing selection: use --user, --from, --older-than, --stuck or --all")
			}
			if rate < 0 {
				return usagef("--rate cannot be below 0")
			}
			return a.purge(cmd.Context(), which, all, dry, rate)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	selection(cmd.Flags())
	a.completeNames(cmd)
	cmd.Flags().Bool("all", false, "every stored message")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only count")
	cmd.Flags().IntVar(&rate, "rate", 0, "the greatest number of messages a second; 0 for no limit")
	return cmd
}

// purge counts the messages, asks, and deletes at most that number.
func (a *app) purge(ctx context.Context, which []mi.Arg, all, dry bool, rate int) error {
	total, err := a.number(ctx, "count", "silo_count", which)
	if err != nil {
		return err
	}
	if dry {
		return a.reportCount("count", total, "would delete %d messages\n")
	}
	if total > 0 {
		if err := a.confirm(ctx, fmt.Sprintf("Delete %d stored messages for good?", total)); err != nil {
			return err
		}
	}
	if all {
		which = append(which, mi.Arg{Name: "all", Value: "yes"})
	}
	bar := a.progress("deleted", total)
	defer bar.end()
	var deleted int64
	// The user has agreed to this count. Messages may arrive meanwhile.
	for deleted < total {
		batch := min(total-deleted, purgeBatch)
		start := time.Now()
		n, err := a.number(ctx, "deleted", "silo_purge", append(slices.Clip(which),
			mi.Arg{Name: "limit", Value: strconv.FormatInt(batch, 10)}))
		if err != nil {
			return fmt.Errorf("after %d messages: %w", deleted, err)
		}
		if n == 0 {
			break
		}
		deleted += n
		bar.at(deleted)
		if rate > 0 {
			pause(ctx, time.Duration(n)*time.Second/time.Duration(rate)-time.Since(start))
		}
	}
	bar.end()
	return a.reportCount("deleted", deleted, "deleted %d messages\n")
}

// number runs a command and returns the number with a name in its reply.
func (a *app) number(ctx context.Context, name, command string, args []mi.Arg) (int64, error) {
	n, err := a.ask(ctx, command, args...)
	if err != nil {
		return 0, err
	}
	for _, c := range n.Nodes {
		if c.Name == name {
			return strconv.ParseInt(fmt.Sprint(c.Value), 10, 64)
		}
	}
	return 0, fmt.Errorf("the daemon's reply to %s has no %s", command, name)
}

// reportCount prints a number, in words for people or as a JSON object.
func (a *app) reportCount(name string, n int64, words string) error {
	if a.output == "json" {
		return writeLine(a.out, map[string]int64{name: n})
	}
	_, err := fmt.Fprintf(a.out, words, n)
	return err
}
