package main

// bansNoun returns the commands for users and sources that are banned for failed logins.
func bansNoun() noun {
	return noun{name: "bans", short: "Users and sources banned for failed logins: list, lift", verbs: []verb{
		{use: "list", short: "List the bans", mi: "ban_list", list: true, none: "no bans"},
		{
			use: "lift ADDRESS [USER]", short: "End the bans of an address, or of a user there",
			example: "  siloctl bans lift 192.0.2.66\n  siloctl bans lift 192.0.2.66 alice\n  siloctl bans lift any alice",
			mi:      "ban_lift", min: 1, max: 2, live: []string{"ban_list"}, done: "lifted the ban of %1",
		},
	}}
}
