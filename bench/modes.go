package main

import "context"

// A mode is a kind of traffic.
type mode struct {
	name    string
	unit    string   // what the rate counts
	thing   string   // for which memory is reported; "": not reported
	about   string   // for the document
	systems []string // measured by default
	open    int      // requests open at once
	users   int      // recipients, members or registrations
	run     func(ctx context.Context, s *stage) error
}

// modes are all modes in the order in which they run.
var modes = []*mode{
	{
		name: "raw", unit: "requests", thing: "transaction", open: 64, users: 1000, run: runRaw,
		systems: []string{"silod", "floor", "kamailio", "kamailio-fm"},
		about: "MESSAGE to an unknown domain: 403. This measures only the cost of receiving, parsing, keeping the transaction and answering. " +
			"*floor* is a bare UDP loop over silod's parser that answers 403.",
	},
	{
		name: "register", unit: "refreshes", thing: "binding", open: 64, users: 10_000, run: runRegister,
		systems: []string{"silod", "kamailio", "kamailio-fm"},
		about:   "REGISTERs that refresh the bindings of 10,000 users.",
	},
	{
		name: "relay", unit: "messages", open: 64, users: 1000, run: runRelay,
		systems: []string{"silod", "kamailio", "kamailio-fm"},
		about:   "MESSAGE to 1000 online users, from the sender's request until the sender gets the recipient's 200.",
	},
	{
		name: "store", unit: "messages", open: 256, users: 10_000, run: runStore,
		systems: []string{"silod", "silod-sqlite", "kamailio", "kamailio-fm"},
		about:   "MESSAGE to 10,000 offline users: 202 after the commit. The rows are counted at the end and compared with the number of 202s.",
	},
	{
		name: "deliver", unit: "messages", open: 8, users: 200, run: runDeliver,
		systems: []string{"silod", "silod-sqlite", "kamailio", "kamailio-fm"},
		about: "200 users with 100 stored messages each come online, 8 REGISTERs open at a time. " +
			"CPU time is counted until the last row is deleted, the rate until the last message has arrived.",
	},
	{
		name: "return", unit: "messages", open: 1000, users: 1000, run: runReturn,
		systems: []string{"silod"},
		about: "1000 users' devices fall silent while a message to each is under way, and 100 of them register from another port, all at once. " +
			"Latency is the time from the REGISTER until the message arrives.",
	},
	{
		name: "room", unit: "deliveries", open: 8, users: 100, run: runRoom,
		systems: []string{"silod", "silod-sqlite", "kamailio", "kamailio-fm"},
		about: "A room of 100 members, all online. 8 of them send messages, each the next one after all others have received the last. " +
			"Latency is the time until the sender gets the response.",
	},
	{
		name: "rooms", unit: "deliveries", open: 1000, users: 1000, run: runRooms,
		systems: []string{"silod", "silod-sqlite"},
		about: "1000 rooms of 10 members, with one speaker each: 1000 users, all online, speak all the time, each again when the others in the " +
			"room have received the last message. Latency is the time until the sender gets the response.",
	},
}

func modeNames() (names []string) {
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
}

func modeNamed(name string) *mode {
	for _, m := range modes {
		if m.name == name {
			return m
		}
	}
	return nil
}
