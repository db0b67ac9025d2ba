package main

import (
	"strconv"

	"github.com/spf13/pflag"

	"silod/mi"
)

// roomsNoun returns the commands for chat rooms.
func roomsNoun() noun {
	return noun{name: "rooms", short: "Chat rooms: list, show, unused, create, destroy, title, topic, private, moderate, history", verbs: []verb{
		{
			use: "list", short: "List the rooms",
			mi: "imc_list_rooms", list: true, none: "no rooms",
		},
		{
			use: "show ROOM", short: "Show one room with its members", example: "  siloctl rooms show sip:chat-1@example.org",
			mi: "imc_show_room", min: 1, max: 1, live: []string{liveRooms},
		},
		{
			use: "unused [DAYS]", short: "List the rooms without activity for a number of days, 30 by default",
			mi: "imc_unused_rooms", max: 1, list: true, none: "no such rooms",
		},
		{
			use: "create ROOM OWNER", short: "Create a room", example: "  siloctl rooms create chat-1 alice@example.org --private",
			mi: "imc_create_room", min: 2, max: 2, live: []string{"", liveUsers},
			flags: func(f *pflag.FlagSet) { f.Bool("private", false, "by invitation only") },
			args: func(f *pflag.FlagSet, args []string) ([]mi.Arg, error) {
				list := positional(args)
				if private, _ := f.GetBool("private"); private {
					list = append(list, mi.Arg{Value: "private"})
				}
				return list, nil
			},
			done: "created room %1, owned by %2",
		},
		{
			use: "destroy ROOM", short: "Destroy a room and its history",
			mi: "imc_destroy_room", min: 1, max: 1, live: []string{liveRooms},
			ask: "Destroy room %1 and its history?", done: "destroyed room %1",
		},
		{
			use: "moderate ROOM", short: "Let only the owner, admins and members with voice speak",
			mi: "imc_moderate_room", min: 1, max: 1, live: []string{liveRooms}, done: "%1 is moderated",
		},
		{
			use: "unmoderate ROOM", short: "Let all members of a room speak",
			mi: "imc_unmoderate_room", min: 1, max: 1, live: []string{liveRooms}, done: "%1 is not moderated",
		},
		{
			use: "title ROOM TITLE", short: "Set the title of a room; - removes it", example: "  siloctl rooms title chat-1 'Tea friends'",
			mi: "imc_set_title", min: 2, max: 2, live: []string{liveRooms}, done: "changed the title of %1",
		},
		{
			use: "topic ROOM TOPIC", short: "Set the topic of a room; - removes it", example: "  siloctl rooms topic chat-1 'Today: Darjeeling'",
			mi: "imc_set_topic", min: 2, max: 2, live: []string{liveRooms}, done: "changed the topic of %1",
		},
		{
			use: "private ROOM yes|no", short: "Make a room private, by invitation only, or public",
			mi: "imc_set_private", min: 2, max: 2, live: []string{liveRooms}, done: "changed %1",
		},
		{
			use: "history ROOM", short: "Show the last messages of a room", example: "  siloctl rooms history chat-1 -n 50",
			mi: "imc_history", min: 1, max: 1, live: []string{liveRooms}, list: true, none: "no messages",
			hide:  []string{"seq", "type", "size"},
			flags: func(f *pflag.FlagSet) { f.IntP("number", "n", 20, "how many messages") },
			args: func(f *pflag.FlagSet, args []string) ([]mi.Arg, error) {
				n, _ := f.GetInt("number")
				if n < 1 {
					return nil, usagef("--number must be above 0")
				}
				return positional(append(args, strconv.Itoa(n))), nil
			},
		},
	}}
}
