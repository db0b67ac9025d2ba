package main

import (
	"regexp"

	"github.com/spf13/pflag"

	"silod/mi"
)

// membersNoun returns the commands for the members of rooms and their roles.
func membersNoun() noun {
	return noun{name: "members", short: "Members of a room: list, add, remove, role, ban, bans, mute, voice", verbs: []verb{
		{
			use: "list ROOM", short: "List a room's members",
			mi: "imc_list_members", min: 1, max: 1, live: []string{liveRooms}, list: true, none: "no members",
			hide: []string{"voiced", "muted_until", "banned_until", "reason"},
		},
		{
			use: "add ROOM USER", short: "Add a member to a room", example: "  siloctl members add chat-1 bob@example.org",
			mi: "imc_add_member", min: 2, max: 2, live: []string{liveRooms, liveUsers}, done: "added %2 to %1",
		},
		{
			use: "remove ROOM USER", short: "Remove a member from a room",
			mi: "imc_remove_member", min: 2, max: 2, live: []string{liveRooms, liveUsers}, done: "removed %2 from %1",
		},
		{
			use: "role ROOM USER ROLE", short: "Change the role of a member; mute or ban a user",
			long: "ROLE is owner, admin, member, muted, unmuted, banned or unbanned.\n" +
				"A room has one owner: a new one replaces the old one.",
			example: "  siloctl members role chat-1 bob@example.org admin",
			mi:      "imc_modify_member", min: 3, max: 3, live: []string{liveRooms, liveUsers, liveRoles}, done: "%2 is now %3 in %1",
		},
		{
			use: "ban ROOM USER [REASON]", short: "Ban a user from a room", example: "  siloctl members ban chat-1 bob@example.org spam --for 3d",
			mi: "imc_ban_member", min: 2, max: 3, live: []string{liveRooms, liveUsers}, flags: termFlag, args: termArgs,
			done: "banned %2 from %1",
		},
		memberVerb("unban", "Lift a ban", "imc_unban_member", "lifted the ban of %2 from %1"),
		{
			use: "bans ROOM", short: "List the banned users of a room, and the muted ones that have left",
			mi: "imc_list_bans", min: 1, max: 1, live: []string{liveRooms}, list: true, none: "no bans",
		},
		{
			use: "mute ROOM USER [REASON]", short: "Mute a member", example: "  siloctl members mute chat-1 bob@example.org --for 30m",
			mi: "imc_mute_member", min: 2, max: 3, live: []string{liveRooms, liveUsers}, flags: termFlag, args: termArgs,
			done: "muted %2 in %1",
		},
		memberVerb("unmute", "Lift a mute, also that of a user that has left", "imc_unmute_member", "%2 is no longer muted in %1"),
		memberVerb("voice", "Let a member speak while the room is moderated", "imc_voice_member", "%2 has voice in %1"),
		memberVerb("devoice", "Take the voice of a member", "imc_devoice_member", "%2 has no voice in %1"),
	}}
}

// memberVerb returns a command for one member of a room.
func memberVerb(name, short, command, done string) verb {
	return verb{
		use: name + " ROOM USER", short: short,
		mi: command, min: 2, max: 2, live: []string{liveRooms, liveUsers}, done: done,
	}
}

func termFlag(f *pflag.FlagSet) {
	f.String("for", "", "how long, such as 30m, 2h or 3d (default: until it is lifted)")
}

// termArgs returns the arguments ROOM USER TIME REASON.
func termArgs(f *pflag.FlagSet, args []string) ([]mi.Arg, error) {
	term, _ := f.GetString("for")
	if term == "" && len(args) > 2 && isTerm.MatchString(args[2]) {
		return nil, usagef("%q is a time, not a reason; write --for %s", args[2], args[2])
	}
	return positional(append(args[:2:2], append([]string{term}, args[2:]...)...)), nil
}

// isTerm matches a duration that stands where the reason belongs. As a reason, it would be that
// of a ban without an end.
var isTerm = regexp.MustCompile(`^[0-9]+[smhd]$`)

// roles are the values of ROLE.
var roles = []string{"owner", "admin", "member", "muted", "unmuted", "banned", "unbanned"}
