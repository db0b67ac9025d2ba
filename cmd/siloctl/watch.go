package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"silod/mi"
	"silod/mi/client"
)

// watchCommand returns the command that prints events of a user or room.
func (a *app) watchCommand() *cobra.Command {
	var bodies bool
	var count int
	cmd := &cobra.Command{
		Use: "watch AOR|ROOM", Short: "Follow the events of one user or room", GroupID: groupAdmin,
		Long: "Shows, until ^C, the events of a user or a room as they happen: messages that are received, stored,\n" +
			"said in a room, sent to a device, answered, accepted or rejected, delivered, set aside or expired,\n" +
			"and devices that register. Texts are shown with --bodies only, and never over a read-only socket.\n" +
			"Where events come too fast, the number of missing ones is shown. With -o json each event is one\n" +
			"object on a line of its own.",
		Example: "  siloctl watch bob@example.org\n  siloctl watch chat-1 -o json --count 10",
		Args:    addresses(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return usagef("--count cannot be below 0")
			}
			return a.watch(cmd.Context(), args[0], bodies, count)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, noFiles
			}
			return append(a.values(cmd.Context(), liveRooms, typed), a.values(cmd.Context(), liveContacts, typed)...), noFiles
		},
	}
	cmd.Flags().BoolVar(&bodies, "bodies", false, "show the texts too")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after this number of events; 0 for no limit")
	return cmd
}

// watch prints events of a user or room until ctx ends, which is not an error, or there were count
// events.
func (a *app) watch(ctx context.Context, address string, bodies bool, count int) error {
	a.target.Timeout = -1 // there may be no event for a long time
	c := call{command: "watch", args: []mi.Arg{{Value: address}}}
	if bodies {
		c.args = append(c.args, mi.Arg{Value: "yes"})
	}
	if a.output == "mi" {
		return a.raw(ctx, c)
	}
	daemon, err := a.daemon(ctx)
	if err != nil {
		return err
	}
	shown := 0
	for n, err := range daemon.Stream(ctx, c.command, c.args...) {
		if err != nil {
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil // the usual end
			}
			return err
		}
		e := eventOf(n)
		if e["event"] == "watching" {
			a.note(fmt.Sprintf("watching %s, ^C to end", readable(e["user"])))
			continue
		}
		if err := a.event(n, e); err != nil {
			return err
		}
		if shown++; shown == count {
			return nil
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w: it has stopped", client.ErrUnreachable)
}

// eventOf returns the attributes of an event, or of another entry of a list, by name.
func eventOf(n *mi.Node) map[string]string {
	e := map[string]string{}
	for _, at := range n.Attrs {
		e[at.Name] = fmt.Sprint(at.Value)
	}
	return e
}

// event prints one event at once.
func (a *app) event(n *mi.Node, e map[string]string) error {
	if a.output == "json" {
		if err := writeLine(a.out, n); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(a.out, clean(eventLine(e)))
		for line := range strings.Lines(cleanLines(bodyOf(e))) {
			fmt.Fprintln(a.out, "    "+strings.TrimSuffix(line, "\n"))
		}
	}
	return a.out.Flush()
}

// eventLine returns an event for people: time, kind, addresses, and the other attributes.
func eventLine(e map[string]string) string {
	at := e["time"]
	if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
		at = t.Local().Format("15:04:05.000")
	}
	if e["event"] == "lost" {
		return at + gap + e["count"] + " events are missing here: they came too fast"
	}
	parties := withoutScheme(e["user"])
	if e["from"] != "" {
		parties = withoutScheme(e["from"]) + " to " + parties
	}
	line := []string{at, pad(e["event"], len("registered")), parties}
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			line = append(line, text)
		}
	}
	add(e["status"] + " " + e["reason"])
	add(e["contact"])
	if e["id"] != "" {
		add("id " + e["id"])
	}
	if e["bytes"] != "" {
		add(e["type"] + " " + e["bytes"] + " bytes")
	}
	add(e["call_id"])
	return strings.Join(line, gap)
}

// withoutScheme returns the address of a user or a room for people, without "sip:".
func withoutScheme(uri string) string { return strings.TrimPrefix(readable(uri), "sip:") }

// bodyOf returns the text of an event, or "" if it has none.
func bodyOf(e map[string]string) string {
	if b, err := base64.StdEncoding.DecodeString(e["body_base64"]); err == nil && len(b) > 0 {
		return fmt.Sprintf("(%d bytes, not text)", len(b))
	}
	return e["body"]
}
