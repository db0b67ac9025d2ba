package main

// membersNoun returns the commands for the members of rooms and their roles.
func membersNoun() noun {
	return noun{name: "members", short: "Members of a room: list, add, remove, role", verbs: []verb{
		{
			use: "list ROOM", short: "List a room's members",
			mi: "imc_list_members", min: 1, max: 1, live: []string{liveRooms}, list: true, none: "no members",
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
	}}
}

// roles are the values of ROLE.
var roles = []string{"owner", "admin", "member", "muted", "unmuted", "banned", "unbanned"}
