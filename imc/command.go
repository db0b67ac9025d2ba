package imc

import (
	"context"
	"slices"
	"strings"
)

// anyone is the role of a command that needs no membership.
const anyone Role = -1

// An access is the way in which a command uses a room.
type access int

const (
	noRoom    access = iota // the command is not about a room
	shared                  // reads the room
	unlocked                // reads the room's log: no lock is held, so that messages need not wait
	exclusive               // changes the room
	creating                // changes the room or creates it
)

// A command is a # command, or one form of it. It defines parsing, permissions and
// #help. Management commands run the same functions.
type command struct {
	name      string
	aliases   []string
	params    []param // in their order in the text
	role      Role    // the lowest role that may use it
	access    access
	sanctions bool   // is about a user with all its addresses
	speaks    bool   // carries a text of the caller to others: only for those that may speak
	code      int    // the return code of imc_manager for a failure; of the ten documented ones the first
	help      string // description for #help, without a full stop

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
		help: "creates a room that you own; users need an invitation to join a private room",
		run:  (*Service).create,
	}, {
		name: "join", params: []param{roomParam}, role: anyone, access: creating, code: -40,
		help: "joins a room",
		run:  (*Service).join,
	}, {
		name: "invite", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "invites a user",
		run:  (*Service).invite,
	}, {
		name: "add", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -50,
		help: "adds a user",
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
		help: "removes a member",
		run:  (*Service).remove,
	}, {
		name: "exit", aliases: []string{"leave"}, params: []param{roomParam}, role: Plain, access: exclusive, code: -90,
		help: "leaves the room",
		run:  (*Service).exit,
	}, {
		name: "list", aliases: []string{"members"}, params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "lists the members: * owner, ~ admin",
		run:  (*Service).list,
	}, {
		name: "rooms", params: []param{fromParam}, role: anyone, code: -100,
		help: "lists the rooms that you can see, from a name on",
		run:  (*Service).listRooms,
	}, {
		name: "destroy", params: []param{roomParam}, role: Owner, access: exclusive, code: -110,
		help: "destroys the room",
		run:  (*Service).destroy,
	}, {
		name: "modify", params: []param{userParam, roleParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "changes a member's role; a new owner replaces the old one",
		run:  (*Service).modify,
	}, {
		name: "topic", params: []param{roomBeforeText, textParam}, role: Admin, speaks: true, access: exclusive, code: -120,
		help: "sets the topic; - removes it",
		run:  (*Service).setTopic,
	}, {
		name: "topic", params: []param{roomParam}, role: Plain, access: shared, code: -120,
		help: "shows the topic",
		run:  (*Service).showTopic,
	}, {
		name: "title", params: []param{roomBeforeText, textParam}, role: Admin, speaks: true, access: exclusive, code: -120,
		help: "sets the title; - removes it",
		run:  (*Service).setTitle,
	}, {
		name: "title", params: []param{roomParam}, role: Plain, access: shared, code: -120,
		help: "shows the title",
		run:  (*Service).showTitle,
	}, {
		name: "nick", params: []param{nickParam, roomParam}, role: Plain, speaks: true, access: exclusive, code: -120,
		help: "sets your nickname in the room; - removes it",
		run:  (*Service).nick,
	}, {
		name: "who", params: []param{roomParam}, role: Plain, access: shared, code: -100,
		help: "lists the members that are online",
		run:  (*Service).who,
	}, {
		name: "history", params: []param{sinceParam, roomParam}, role: Plain, access: unlocked, code: -100,
		help: "shows the messages since a time: 30m, 2h, 3d, 15:04 or 2006-01-02T15:04",
		run:  (*Service).showHistory,
	}, {
		name: "history", params: []param{countParam, roomParam}, role: Plain, access: unlocked, code: -100,
		help: "shows the last N messages",
		run:  (*Service).showHistory,
	}, {
		name: "history", params: []param{roomParam}, role: Plain, access: unlocked, code: -100,
		help: "shows the last messages",
		run:  (*Service).showHistory,
	}, {
		name: "catchup", params: []param{catchUpParam, roomParam}, role: Plain, access: unlocked, code: -100,
		help: "skips the messages that you have missed except the last N, or sends all that were skipped",
		run:  (*Service).catchUp,
	}, {
		name: "openhistory", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets new members read the messages from now on",
		run:  (*Service).openHistory,
	}, {
		name: "closehistory", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets new members read only the messages since they joined",
		run:  (*Service).closeHistory,
	}, {
		name: "ban", params: []param{userParam, roomIfNamed, termParam, reasonParam}, speaks: true, sanctions: true,
		role: Admin, access: exclusive, code: -80,
		help: "bans a user, for a time such as 30m, 2h or 3d, or until #unban",
		run:  (*Service).ban,
	}, {
		name: "unban", params: []param{userParam, roomParam}, role: Admin, sanctions: true, access: exclusive, code: -80,
		help: "lifts a ban",
		run:  (*Service).unban,
	}, {
		name: "bans", params: []param{roomIfNamed, fromUserParam}, role: Admin, access: shared, code: -100,
		help: "lists the bans, and the mutes of users that have left, from a user on",
		run:  (*Service).listBans,
	}, {
		name: "mute", params: []param{userParam, roomIfNamed, termParam, reasonParam}, speaks: true, sanctions: true,
		role: Admin, access: exclusive, code: -120,
		help: "mutes a member, for a time or until #unmute",
		run:  (*Service).mute,
	}, {
		name: "unmute", params: []param{userParam, roomParam}, role: Admin, sanctions: true, access: exclusive, code: -120,
		help: "unmutes a member",
		run:  (*Service).unmute,
	}, {
		name: "moderate", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "makes the room moderated: only the owner, admins and members with voice can speak",
		run:  (*Service).moderate,
	}, {
		name: "unmoderate", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets all members speak",
		run:  (*Service).unmoderate,
	}, {
		name: "voice", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "lets a member speak while the room is moderated",
		run:  (*Service).voice,
	}, {
		name: "devoice", params: []param{userParam, roomParam}, role: Admin, access: exclusive, code: -120,
		help: "takes the voice of a member",
		run:  (*Service).devoice,
	}, {
		name: "private", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "makes the room private: users need an invitation to join",
		run:  (*Service).makePrivate,
	}, {
		name: "public", params: []param{roomParam}, role: Admin, access: exclusive, code: -120,
		help: "makes the room public",
		run:  (*Service).makePublic,
	}, {
		name: "block", params: []param{targetParam}, role: anyone, code: -120,
		help: "refuses invitations and additions to a room, which you leave, or by a user",
		run:  (*Service).block,
	}, {
		name: "unblock", params: []param{targetParam}, role: anyone, code: -120,
		help: "ends a block",
		run:  (*Service).unblock,
	}, {
		name: "blocks", role: anyone, code: -100,
		help: "lists what you block",
		run:  (*Service).listBlocks,
	}, {
		name: "help", role: anyone, code: -120,
		help: "lists the commands",
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
