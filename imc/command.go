package imc

import (
	"context"
	"slices"
	"strings"
)

// anyone is the role of a command that needs no membership.
const anyone Role = -1

// access is the way in which a command uses a room.
type access int

const (
	noRoom    access = iota // the command is not about a room
	shared                  // reads the room
	exclusive               // changes the room
	creating                // changes the room or creates it
)

// command is a # command, or one form of it. It defines parsing, permissions and
// #help. Management commands run the same functions.
type command struct {
	name    string
	aliases []string
	params  []param // in their order in the text
	role    Role    // the lowest role that may use it
	access  access
	code    int    // the return code of imc_manager for a failure; of the ten documented ones the first
	help    string // description for #help, without a full stop

	// run carries out the command. The room's state lock is held as access requires.
	// The room is nil for noRoom, and may not be stored yet for creating.
	run func(*Service, context.Context, *invocation, *room) error
}

// commands is the table of # commands in the order of #help: those of Kamailio, then
// our own. The forms of a command follow each other, and the first form that matches
// is used. Our own commands, for which no code is documented, have the code of a
// similar command.
var commands = []*command{
	{
		name: "create", params: []param{roomParam, privateParam}, role: anyone, access: creating, code: -30,
		help: "makes a room, which you then own; a private one is entered by invitation only",
		run:  (*Service).create,
	}, {
		name: "join", params: []param{roomParam}, role: anyone, access: creating, code: -40,
		help: "enters a room",
		run:  (*Service).join,
	}, {
		name: "invite", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "asks somebody to come in",
		run:  (*Service).invite,
	}, {
		name: "add", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "brings somebody in without asking",
		run:  (*Service).join,
	}, {
		name: "accept", params: []param{roomParam}, role: anyone, access: exclusive, code: -60,
		help: "accepts an invitation",
		run:  (*Service).accept,
	}, {
		name: "deny", aliases: []string{"reject"}, params: []param{roomParam}, role: anyone, access: exclusive, code: -70,
		help: "declines an invitation",
		run:  (*Service).deny,
	}, {
		name: "remove", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "takes somebody out of the room",
		run:  (*Service).remove,
	}, {
		name: "exit", aliases: []string{"leave"}, params: []param{roomParam}, role: Plain, access: exclusive, code: -90,
		help: "leaves the room",
		run:  (*Service).exit,
	}, {
		name: "list", aliases: []string{"members"}, params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "shows who is in the room: * owner, ~ admin",
		run:  (*Service).list,
	}, {
		name: "rooms", role: anyone, code: -100,
		help: "shows the rooms that you can see",
		run:  (*Service).listRooms,
	}, {
		name: "destroy", params: []param{roomParam}, role: Owner, access: exclusive, code: -110,
		help: "ends the room",
		run:  (*Service).destroy,
	}, {
		name: "modify", params: []param{userParam, roleParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "gives a member another role; a new owner takes the place of the old one",
		run:  (*Service).modify,
	}, {
		name: "topic", params: []param{roomBeforeText, textParam}, role: Admin, access: exclusive, code: -120,
		help: "sets what the room is about; - removes it",
		run:  (*Service).setTopic,
	}, {
		name: "topic", params: []param{roomParam}, role: Plain, access: shared, code: -120,
		help: "shows what the room is about",
		run:  (*Service).showTopic,
	}, {
		name: "history", params: []param{sinceParam, roomParam}, role: Plain, access: shared, code: -100,
		help: "shows what was said since a time: 30m, 2h, 3d, 15:04 or 2006-01-02T15:04",
		run:  (*Service).history,
	}, {
		name: "history", params: []param{countParam, roomParam}, role: Plain, access: shared, code: -100,
		help: "shows the last N things that were said",
		run:  (*Service).history,
	}, {
		name: "history", params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "shows the last things that were said",
		run:  (*Service).history,
	}, {
		name: "ban", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "takes somebody out of the room for good",
		run:  (*Service).ban,
	}, {
		name: "unban", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -80,
		help: "lets a banned user come again",
		run:  (*Service).unban,
	}, {
		name: "mute", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "takes a member's word away",
		run:  (*Service).mute,
	}, {
		name: "unmute", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets a muted member speak again",
		run:  (*Service).unmute,
	}, {
		name: "private", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets new members in by invitation only",
		run:  (*Service).makePrivate,
	}, {
		name: "public", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets everybody in",
		run:  (*Service).makePublic,
	}, {
		name: "help", role: anyone, code: -120,
		help: "shows this list",
		run:  (*Service).help,
	},
}

// commandForms returns the forms of a command, none for an unknown one.
func (s *Service) commandForms(name string) []*command {
	name = strings.ToLower(name)
	var forms []*command
	for _, c := range s.commands {
		if c.name == name || slices.Contains(c.aliases, name) {
			forms = append(forms, c)
		}
	}
	return forms
}

func (c *command) needsRoom() bool { return c.access != noRoom }
