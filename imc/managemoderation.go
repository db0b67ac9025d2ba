package imc

import (
	"context"
	"strings"
	"time"

	"silod/mi"
	"silod/sip"
)

// moderationCommands are the management commands that sanction users and moderate rooms.
func (s *Service) moderationCommands() []mi.Command {
	list := []mi.Command{
		{
			Name: "imc_list_bans", Aliases: []string{"imc.list_bans"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: s.miListBans,
			Help: "Lists the banned users of a room, and the muted ones that are not members.",
		},
	}
	for _, c := range []struct{ name, command, help string }{
		{"ban_member", "ban", "Bans a user from a room, for a time such as 30m, 2h or 3d (0: until it is lifted)."},
		{"mute_member", "mute", "Mutes a member of a room, for a time such as 30m, 2h or 3d (0: until it is lifted)."},
	} {
		list = append(list, mi.Command{
			Name: "imc_" + c.name, Aliases: []string{"imc." + c.name}, Args: "ROOM USER [TIME] [REASON]", MinArgs: 2, MaxArgs: 4,
			Writes: true, Help: c.help, Run: s.miSanction(c.command),
		})
	}
	for _, c := range []struct{ name, command, help string }{
		{"unban_member", "unban", "Lifts a ban."},
		{"unmute_member", "unmute", "Lifts a mute, also that of a user that has left the room."},
		{"voice_member", "voice", "Lets a member speak while the room is moderated."},
		{"devoice_member", "devoice", "Takes the voice of a member."},
	} {
		list = append(list, mi.Command{
			Name: "imc_" + c.name, Aliases: []string{"imc." + c.name}, Args: "ROOM USER", MinArgs: 2, MaxArgs: 2,
			Writes: true, Help: c.help, Run: s.miOnMember(c.command),
		})
	}
	for _, c := range []struct{ name, command, help string }{
		{"moderate_room", "moderate", "Makes a room moderated: only the owner, admins and members with voice can speak."},
		{"unmoderate_room", "unmoderate", "Lets all members of a room speak."},
	} {
		list = append(list, mi.Command{
			Name: "imc_" + c.name, Aliases: []string{"imc." + c.name}, Args: "ROOM", MinArgs: 1, MaxArgs: 1,
			Writes: true, Help: c.help, Run: s.miOnRoom(c.command),
		})
	}
	return list
}

// miOnRoom returns a management command that runs a # command on a room.
func (s *Service) miOnRoom(name string) func(context.Context, *mi.Request) (*mi.Node, error) {
	return func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
		c, err := s.operatorCall(name, req.Arg(0))
		if err != nil {
			return nil, err
		}
		return nil, s.runForOperator(ctx, c)
	}
}

// miOnMember returns a management command that runs a # command on a room and a user.
func (s *Service) miOnMember(name string) func(context.Context, *mi.Request) (*mi.Node, error) {
	return func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
		c, err := s.operatorCallOn(name, req.Arg(0), "USER", req.Arg(1))
		if err != nil {
			return nil, err
		}
		return nil, s.runForOperator(ctx, c)
	}
}

// miSanction returns a management command that runs #ban or #mute.
func (s *Service) miSanction(name string) func(context.Context, *mi.Request) (*mi.Node, error) {
	return func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
		c, err := s.operatorCallOn(name, req.Arg(0), "USER", req.Arg(1))
		if err != nil {
			return nil, err
		}
		if a := req.Arg(2); a != "" && a != "0" {
			term, ok := parseDays(a)
			if !ok || term < time.Second || term > maxTerm {
				return nil, mi.Errorf(400, "TIME must be a duration, such as 30m, 2h or 3d, or 0")
			}
			c.term = term
		}
		c.text = strings.TrimSpace(printable(req.Arg(3)))
		return nil, s.runForOperator(ctx, c)
	}
}

// miListBans lists the banned users of a room, and the muted ones that are not members.
func (s *Service) miListBans(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return nil, err
	}
	n := &mi.Node{List: true}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.outsiders(s.now(), sip.AoR{}) {
		what, until, by := "ban", m.BannedUntil, ""
		if m.Role != Banned {
			what, until = "mute", m.MutedUntil
		} else if !m.InvitedBy.IsZero() {
			by = m.InvitedBy.String()
		}
		n.Nodes = append(n.Nodes, row("user", m.User.String(), "sanction", what, "by", by, "until", formatTime(until), "reason", m.Reason))
	}
	return n, nil
}
