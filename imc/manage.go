package imc

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"silod/mi"
)

// Commands returns the management commands of rooms. Those that change a room run a
// # command with an operator as the caller.
func (s *Service) Commands() []mi.Command {
	return append([]mi.Command{
		{
			Name: "imc_list_rooms", Aliases: []string{"imc.list_rooms", "imc:list_rooms"}, Run: s.miListRooms,
			Help: "Lists the rooms with their owner and number of members.",
		}, {
			// MinArgs is 0, because Kamailio's JSON-RPC has its own error for a missing ROOM.
			Name: "imc_list_members", Aliases: []string{"imc.list_members", "imc:list_members"}, Args: "ROOM", MaxArgs: 1,
			Run:  s.miListMembers,
			Help: "Lists the members of a room.",
		}, {
			Name: "imc_show_room", Aliases: []string{"imc.show_room"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: s.miShowRoom,
			Help: "Shows a room with its members and its invited and banned users.",
		}, {
			Name: "imc_room_active", Aliases: []string{"imc.room_active"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: s.miRoomActive,
			Help: "Shows whether a room exists.",
		}, {
			Name: "imc_room_member", Aliases: []string{"imc.room_member"}, Args: "ROOM USER", MinArgs: 2, MaxArgs: 2, Run: s.miRoomMember,
			Help: "Shows whether a user is a member of a room, and the role.",
		}, {
			Name: "imc_history", Aliases: []string{"imc.history"}, Args: "ROOM [COUNT] [SINCE]", MinArgs: 1, MaxArgs: 3, Run: s.miHistory,
			Help: "Shows the last messages of a room.", Bodies: true,
		}, {
			Name: "imc_unused_rooms", Aliases: []string{"imc.unused_rooms"}, Args: "[DAYS]", MaxArgs: 1, Run: s.miUnusedRooms,
			Help: "Lists the rooms in which no member was active for DAYS (30).",
		}, {
			Name: "imc_create_room", Aliases: []string{"imc.create_room"}, Args: "ROOM OWNER [PRIVATE]", MinArgs: 2, MaxArgs: 3,
			Writes: true, Run: s.miCreateRoom,
			Help: "Creates a room; with the word private, one that takes an invitation to join.",
		}, {
			Name: "imc_destroy_room", Aliases: []string{"imc.destroy_room"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Writes: true,
			Run:  s.miDestroyRoom,
			Help: "Destroys a room and notifies its members.",
		}, {
			Name: "imc_add_member", Aliases: []string{"imc.add_member"}, Args: "ROOM USER [ROLE]", MinArgs: 2, MaxArgs: 3, Writes: true,
			Run:  s.miAddMember,
			Help: "Adds a user to a room as member, admin or owner.",
		}, {
			Name: "imc_remove_member", Aliases: []string{"imc.remove_member"}, Args: "ROOM USER", MinArgs: 2, MaxArgs: 2, Writes: true,
			Run:  s.miRemoveMember,
			Help: "Removes a member from a room, or withdraws an invitation.",
		}, {
			Name: "imc_modify_member", Aliases: []string{"imc.modify_member"}, Args: "ROOM USER ROLE", MinArgs: 3, MaxArgs: 3, Writes: true,
			Run:  s.miModifyMember,
			Help: "Makes a member owner, admin or member; or muted, unmuted, banned or unbanned.",
		},
	}, append(s.moderationCommands(), s.roomCommands()...)...)
}

// operatorCall returns a # command on a room as called by an operator.
func (s *Service) operatorCall(name, room string) (*invocation, error) {
	c := &invocation{command: s.commandForms(name)[0], by: actor{operator: true}}
	var err error
	c.room, err = s.roomArg(room)
	return c, err
}

// operatorCallOn returns a # command on a room and a user as called by an operator. arg is
// the name of the argument that names the user.
func (s *Service) operatorCallOn(name, room, arg, user string) (*invocation, error) {
	c, err := s.operatorCall(name, room)
	if err == nil {
		c.user, err = s.userArg(arg, user, c.room.Domain)
	}
	return c, err
}

// runForOperator carries out a command of operatorCall.
func (s *Service) runForOperator(ctx context.Context, c *invocation) error {
	ctx, cancel := storeContext(ctx)
	defer cancel()
	if err := s.execute(ctx, c); err != nil {
		return s.miError(err)
	}
	s.stats.Commands.Add(1)
	return nil
}

// miError returns the error of a management command. For a refusal it has the text of
// the # command and the code that management clients expect. Any other error is
// logged, and the client is asked to try again.
func (s *Service) miError(err error) error {
	var refused *refusal
	switch {
	case errors.Is(err, ErrInvalid):
		refused = refuse("not_storable")
	case !errors.As(err, &refused):
		s.stats.StoreErrors.Add(1)
		s.log.Error("room management failed", slog.Any("error", err))
		return mi.Errorf(503, "the rooms' store is not available, try again")
	case refused.text == "no_room":
		return mi.Errorf(404, "no such room")
	}
	return mi.Errorf(wordings[refused.text].status, "%s", s.text(refused.text, refused.room, refused.args...))
}

func (s *Service) miDestroyRoom(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	c, err := s.operatorCall("destroy", req.Arg(0))
	if err != nil {
		return nil, err
	}
	return nil, s.runForOperator(ctx, c)
}

func (s *Service) miRemoveMember(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	c, err := s.operatorCallOn("remove", req.Arg(0), "USER", req.Arg(1))
	if err != nil {
		return nil, err
	}
	return nil, s.runForOperator(ctx, c)
}

// miCreateRoom creates a room; its owner is notified as by #create.
func (s *Service) miCreateRoom(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	c, err := s.operatorCallOn("create", req.Arg(0), "OWNER", req.Arg(1))
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(req.Arg(2)) {
	case "private", "1", "true", "yes":
		c.private = true
	case "", "public", "0", "false", "no":
	default:
		return nil, mi.Errorf(400, "the third argument must be private or public")
	}
	return nil, s.runForOperator(ctx, c)
}

// miAddMember adds a member and then sets its role. These are two changes, so that the
// members get both notices, as after #add and #modify.
func (s *Service) miAddMember(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	role := Plain
	if req.Arg(2) != "" {
		var refused *refusal
		if role, refused = parseRole(req.Arg(2)); refused != nil {
			return nil, s.miError(refused)
		}
	}
	c, err := s.operatorCallOn("add", req.Arg(0), "USER", req.Arg(1))
	if err == nil {
		err = s.runForOperator(ctx, c)
	}
	if err != nil || role == Plain {
		return nil, err
	}
	return s.miModifyMember(ctx, req)
}

// stateCommands are the # commands for the states that imc_modify_member can set
// besides roles.
var stateCommands = map[string]string{"muted": "mute", "unmuted": "unmute", "banned": "ban", "unbanned": "unban"}

// miModifyMember runs #modify for a role, or one of stateCommands.
func (s *Service) miModifyMember(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	word := strings.ToLower(req.Arg(2))
	name, isState := stateCommands[word]
	if !isState {
		name = "modify"
	}
	c, err := s.operatorCallOn(name, req.Arg(0), "USER", req.Arg(1))
	if err != nil {
		return nil, err
	}
	if !isState {
		role, ok := roleNames[word]
		if !ok {
			return nil, mi.Errorf(400, "the role must be owner, admin, member, muted, unmuted, banned or unbanned")
		}
		c.role = role
	}
	return nil, s.runForOperator(ctx, c)
}
