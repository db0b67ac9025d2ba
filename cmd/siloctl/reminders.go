package main

import (
	"github.com/spf13/pflag"

	"silod/mi"
)

// remindersNoun returns the commands for messages with a set time.
func remindersNoun() noun {
	return noun{name: "reminders", short: "Reminders, messages with a set time: list, add, delete", verbs: []verb{
		{
			use: "list", short: "List the reminders",
			mi: "silo_list", list: true, none: "no reminders", hide: []string{"call_id", "stored", "type"},
			flags: func(f *pflag.FlagSet) { f.String("user", "", "only those for this user") },
			args: func(f *pflag.FlagSet, _ []string) ([]mi.Arg, error) {
				user, err := nameFlag(f, "user")
				return named(mi.Arg{Name: "owner", Value: user}, mi.Arg{Name: "reminders", Value: "true"}), err
			},
		},
		{
			use: "add USER TIME TEXT", short: "Add a text to be delivered to a user at a set time",
			long:    "TIME is local time, YYYYMMDDHHMMSS, or a date and time of RFC 3339.",
			example: "  siloctl reminders add bob@example.org 20270101090000 \"a good new year\"",
			mi:      "silo_remind", min: 3, max: 3, live: []string{liveUsers},
		},
		{
			use: "delete ID...", short: "Delete reminders",
			mi: "silo_delete", min: 1, max: -1, each: true,
			ask: "Delete reminder %1?", done: "deleted reminder %1",
		},
	}}
}
