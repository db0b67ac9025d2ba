package main

// membersNoun returns the commands for the members of rooms and their roles.
func membersNoun() noun {
	return noun{name: "members", short: "Members of a room: list, add, remove, role", verbs: []verb{
		{
			use: "list ROOM", short: "List a room's members",
			mi: "imc_list_members", min: 1, max: 1, live: []string{liveRooms}, list: true, none: "no members",
		},
		{
			use: "add ROOM USER", short: "Make a user a member", example: "  siloctl members add chat-1 bob@example.org",
			mi: "imc_add_member", min: 2, max: 2, live: []string{liveRooms, liveUsers}, done: "room %s has %s as a member",
		},
		{
			use: "remove ROOM USER", short: "Take a member out of a room",
			mi: "imc_remove_member", min: 2, max: 2, live: []string{liveRooms, liveUsers}, done: "room %s has lost %s",
		},
		{
			use: "role ROOM USER ROLE", short: "Make a member owner, admin or plain member; or mute or ban a user",
			long: "ROLE is owner, admin or member, or else muted, unmuted, banned or unbanned.\n" +
				"A room has one owner: whoever was it before no longer is.",
			example: "  siloctl members role chat-1 bob@example.org admin",
			mi:      "imc_modify_member", min: 3, max: 3, live: []string{liveRooms, liveUsers, liveRoles}, done: "in room %s, %s is now %s",
		},
	}}
}

// roles are the values of ROLE.
var roles = []string{"owner", "admin", "member", "muted", "unmuted", "banned", "unbanned"}
