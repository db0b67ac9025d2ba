package main

import (
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"silod/mi"
)

// location is the name of the contact table in Kamailio's commands.
const location = "location"

// contactsNoun returns the commands for the location table.
func contactsNoun() noun {
	return noun{name: "contacts", short: "Registered contacts: list, show, add, remove", verbs: []verb{
		{
			use: "list", short: "List the contacts of all users",
			mi: "ul_dump", list: true, none: "no contacts",
			hide: []string{"flow", "instance", "q"},
		},
		{
			use: "show USER", short: "Show a user's contacts",
			mi: "ul_show_contact", min: 1, max: 1, live: []string{liveContacts},
			args: inLocation,
		},
		{
			use: "add USER CONTACT", short: "Register a contact for a user",
			example: "  siloctl contacts add bob@example.org sip:bob@192.0.2.7:5060 --expires 1h",
			mi:      "ul_add", min: 2, max: 2, live: []string{liveUsers}, done: "added contact %2 of %1",
			flags: func(f *pflag.FlagSet) {
				f.Duration("expires", time.Hour, "lifetime; 0 for no limit")
				f.Float64("q", 1, "preference, 0 to 1")
				f.String("path", "", "the Path to it")
			},
			args: addContact,
		},
		{
			use: "remove USER [CONTACT]", short: "Remove the contacts of a user, or one of them",
			mi: "ul_rm", min: 1, max: 2, live: []string{liveContacts}, done: "removed from %1",
			miFor: func(args []string) string { return [...]string{"ul_rm", "ul_rm_contact"}[len(args)-1] },
			args:  inLocation,
		},
	}}
}

// inLocation returns the arguments with the name of the table before them.
func inLocation(_ *pflag.FlagSet, args []string) ([]mi.Arg, error) {
	return positional(append([]string{location}, args...)), nil
}

// addContact returns the nine arguments of ul_add: table, AoR, contact, expires, q, path, flags,
// cflags and methods, where 0 stands for none and 2^32-1 for all methods.
func addContact(f *pflag.FlagSet, args []string) ([]mi.Arg, error) {
	expires, _ := f.GetDuration("expires")
	q, _ := f.GetFloat64("q")
	if expires < 0 || q < 0 || q > 1 {
		return nil, usagef("--expires cannot be below 0, and --q is from 0 to 1")
	}
	path := flagText(f, "path")
	if path == "" {
		path = "0"
	}
	return positional([]string{
		location, args[0], args[1], strconv.Itoa(int(expires / time.Second)),
		strconv.FormatFloat(q, 'f', 2, 64), path, "0", "0", "4294967295",
	}), nil
}
