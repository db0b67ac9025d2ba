package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"silod/mi"
)

// A part is what one call of a command that works in slices has done.
type part struct {
	n        int64 // messages counted or deleted
	examined int64 // messages that all calls have examined
}

// slices calls a command that works in slices until it is at its end, or until the caller ends the
// loop. name is the number in the replies. limit, if it is not nil, returns the argument of the next call.
func (a *app) slices(ctx context.Context, name, command string, args []mi.Arg, limit func() int64) iter.Seq2[part, error] {
	return func(yield func(part, error) bool) {
		var p part
		for after := int64(0); ; {
			call := append(slices.Clip(args), mi.Arg{Name: "slice", Value: "yes"})
			if after > 0 {
				call = append(call, mi.Arg{Name: "after", Value: strconv.FormatInt(after, 10)})
			}
			if limit != nil {
				call = append(call, mi.Arg{Name: "limit", Value: strconv.FormatInt(limit(), 10)})
			}
			reply, err := a.ask(ctx, command, call...)
			if err != nil {
				yield(p, err)
				return
			}
			n, ok := numberIn(reply, name)
			if !ok {
				yield(p, fmt.Errorf("the daemon's reply to %s has no %s", command, name))
				return
			}
			examined, _ := numberIn(reply, "examined")
			p = part{n, p.examined + examined}
			next, more := numberIn(reply, "after")
			if !yield(p, nil) || !more || next <= after {
				return
			}
			after = next
		}
	}
}

// numberIn returns the number with a name in a reply.
func numberIn(reply *mi.Node, name string) (int64, bool) {
	for _, c := range reply.Nodes {
		if c.Name == name {
			n, err := strconv.ParseInt(fmt.Sprint(c.Value), 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// sum adds up the number with a name in the replies to a command that works in slices, and shows the
// progress.
func (a *app) sum(ctx context.Context, name, command string, args []mi.Arg) (int64, error) {
	bar := a.progress("messages examined", 0)
	defer bar.end()
	var sum int64
	for p, err := range a.slices(ctx, name, command, args, nil) {
		if err != nil {
			return 0, err
		}
		sum += p.n
		bar.at(p.examined)
	}
	return sum, nil
}

// purgeBatch is the number of messages that one call deletes if --rate limits them.
const purgeBatch = 500

// purgeCommand returns the command that deletes many messages.
func (a *app) purgeCommand() *cobra.Command {
	var dry bool
	var rate int
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete all stored messages of a user, a sender or an age",
		Long: "Deletes the messages that the flags select, in small batches with pauses: the daemon stores others in\n" +
			"between. Without a selection --all is required. Interrupted, it stops; the same command goes on. Of\n" +
			"several purges and counts the daemon works on one at a time.",
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
	total, err := a.sum(ctx, "count", "silo_count", which)
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
		if all {
			which = append(which, mi.Arg{Name: "all", Value: "yes"})
		}
	}
	deleted, err := a.deleteAll(ctx, which, total, rate)
	if err != nil {
		return fmt.Errorf("after %d messages: %w", deleted, err)
	}
	return a.reportCount("deleted", deleted, "deleted %d messages\n")
}

// deleteAll deletes up to total messages. The user has agreed to this count. Messages may arrive
// meanwhile.
func (a *app) deleteAll(ctx context.Context, which []mi.Arg, total int64, rate int) (deleted int64, err error) {
	if total == 0 {
		return 0, nil
	}
	bar := a.progress("deleted", total)
	defer bar.end()
	limit := func() int64 {
		if rate > 0 {
			return min(total-deleted, purgeBatch)
		}
		return total - deleted
	}
	start := time.Now()
	for p, err := range a.slices(ctx, "deleted", "silo_purge", which, limit) {
		if err != nil {
			return deleted, err
		}
		deleted += p.n
		bar.note(fmt.Sprintf(", %d examined", p.examined))
		bar.at(deleted)
		if deleted >= total {
			break
		}
		if rate > 0 {
			pause(ctx, time.Duration(p.n)*time.Second/time.Duration(rate)-time.Since(start))
			start = time.Now()
		}
	}
	return deleted, nil
}

// reportCount prints a number, in words for people or as a JSON object.
func (a *app) reportCount(name string, n int64, words string) error {
	if a.output == "json" {
		return writeLine(a.out, map[string]int64{name: n})
	}
	_, err := fmt.Fprintf(a.out, words, n)
	return err
}
