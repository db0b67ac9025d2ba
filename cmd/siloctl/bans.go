package main

// bansNoun returns the commands for sources that are banned for wrong passwords.
func bansNoun() noun {
	return noun{name: "bans", short: "Sources banned for wrong passwords: list, lift", verbs: []verb{
		{use: "list", short: "List the banned sources", mi: "ban_list", list: true, none: "no bans"},
		{
			use: "lift ADDRESS", short: "End the ban of a source", example: "  siloctl bans lift 192.0.2.66",
			mi: "ban_lift", min: 1, max: 1, live: []string{"ban_list"}, done: "lifted the ban of %1",
		},
	}}
}
