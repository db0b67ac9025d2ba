package imc

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"silod/address"
	"silod/mi"
)

// Commands gives the management commands of rooms. What changes a room goes
// the way of the # commands, with an operator as the caller.
func (s *Service) Commands() []mi.Command {
	return []mi.Command{
		{
			Name: "imc_list_rooms", Aliases: []string{"imc.list_rooms"}, Run: s.miListRooms,
			Help: "Lists the rooms with their members' number and their owner.",
		}, {
			// Kamailio's JSON-RPC has its own words for a missing ROOM.
			Name: "imc_list_members", Aliases: []string{"imc.list_members"}, Args: "ROOM", MaxArgs: 1, Run: s.miListMembers,
			Help: "Lists the members of a room.",
		}, {
			Name: "imc_show_room", Aliases: []string{"imc.show_room"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: s.miShowRoom,
			Help: "Shows a room with everybody in it, those invited and banned too.",
		}, {
			Name: "imc_room_active", Aliases: []string{"imc.room_active"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Run: s.miRoomActive,
			Help: "Tells whether there is such a room.",
		}, {
			Name: "imc_room_member", Aliases: []string{"imc.room_member"}, Args: "ROOM USER", MinArgs: 2, MaxArgs: 2, Run: s.miRoomMember,
			Help: "Tells whether a user is a member of a room, and in which role.",
		}, {
			Name: "imc_history", Aliases: []string{"imc.history"}, Args: "ROOM [COUNT] [SINCE]", MinArgs: 1, MaxArgs: 3, Run: s.miHistory,
			Help: "Shows what was said last in a room.",
		}, {
			Name: "imc_unused_rooms", Aliases: []string{"imc.unused_rooms"}, Args: "[DAYS]", MaxArgs: 1, Run: s.miUnusedRooms,
			Help: "Lists the rooms in which nobody has spoken or read for so many days (30).",
		}, {
			Name: "imc_create_room", Aliases: []string{"imc.create_room"}, Args: "ROOM OWNER [PRIVATE]", MinArgs: 2, MaxArgs: 3, Writes: true,
			Run:  s.miCreateRoom,
			Help: "Makes a room; with the word private, one that is entered by invitation only.",
		}, {
			Name: "imc_destroy_room", Aliases: []string{"imc.destroy_room"}, Args: "ROOM", MinArgs: 1, MaxArgs: 1, Writes: true,
			Run:  s.miChange("destroy"),
			Help: "Ends a room; its members are told.",
		}, {
			Name: "imc_add_member", Aliases: []string{"imc.add_member"}, Args: "ROOM USER [ROLE]", MinArgs: 2, MaxArgs: 3, Writes: true,
			Run:  s.miAddMember,
			Help: "Makes a user a member of a room: member, admin or owner.",
		}, {
			Name: "imc_remove_member", Aliases: []string{"imc.remove_member"}, Args: "ROOM USER", MinArgs: 2, MaxArgs: 2, Writes: true,
			Run:  s.miChange("remove"),
			Help: "Takes a member out of a room, or an invitation back.",
		}, {
			Name: "imc_modify_member", Aliases: []string{"imc.modify_member"}, Args: "ROOM USER ROLE", MinArgs: 3, MaxArgs: 3, Writes: true,
			Run:  s.miModifyMember,
			Help: "Makes a member owner, admin or member; or muted, unmuted, banned, unbanned.",
		},
	}
}

// operatorCall prepares a # command for an operator. user may be "".
func (s *Service) operatorCall(name, room, user string) (*call, error) {
	c := &call{command: s.forms(name)[0]}
	var no *refusal
	if c.room, no = s.parseRoom(room, ""); no != nil {
		return nil, s.miError(no)
	}
	if user != "" {
		if c.user, no = s.parseUser(user, c.room.Domain); no != nil {
			return nil, s.miError(no)
		}
	}
	return c, nil
}

// operate carries a prepared command out.
func (s *Service) operate(ctx context.Context, c *call) error {
	if err := s.perform(ctx, c); err != nil {
		return s.miError(err)
	}
	s.stats.Commands.Add(1)
	return nil
}

// miError gives an operator the reason in the words that the # command has.
func (s *Service) miError(err error) error {
	var no *refusal
	switch {
	case errors.Is(err, ErrInvalid):
		no = refuse("not_storable")
	case !errors.As(err, &no):
		s.stats.StoreErrors.Add(1)
		s.log.Error("management of rooms failed", slog.Any("error", err))
		return mi.Errorf(503, "the rooms' store is not available, try again")
	case no.text == "no_room":
		return mi.Errorf(404, "no such room")
	}
	return mi.Errorf(wordings[no.text].status, "%s", s.text(no.text, no.room, no.args...))
}

// miChange makes a management command of a # command about a room, or about a room
// and a user.
func (s *Service) miChange(name string) func(context.Context, *mi.Request) (*mi.Node, error) {
	return func(ctx context.Context, req *mi.Request) (*mi.Node, error) {
		c, err := s.operatorCall(name, req.Arg(0), req.Arg(1))
		if err != nil {
			return nil, err
		}
		return nil, s.operate(ctx, c)
	}
}

func (s *Service) miCreateRoom(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	c, err := s.operatorCall("create", req.Arg(0), req.Arg(1))
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(req.Arg(2)) {
	case "private", "1", "true", "yes":
		c.priv = true
	case "", "public", "0", "false", "no":
	default:
		return nil, mi.Errorf(400, "the third argument can only be: private")
	}
	return nil, s.operate(ctx, c)
}

func (s *Service) miAddMember(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	role := Plain
	if req.Arg(2) != "" {
		var no *refusal
		if role, no = parseRole(req.Arg(2)); no != nil {
			return nil, s.miError(no)
		}
	}
	c, err := s.operatorCall("add", req.Arg(0), req.Arg(1))
	if err == nil {
		err = s.operate(ctx, c)
	}
	if err != nil || role == Plain {
		return nil, err
	}
	return s.miModifyMember(ctx, req)
}

// standings are what imc_modify_member can make of a member, besides roles.
var standings = map[string]string{"muted": "mute", "unmuted": "unmute", "banned": "ban", "unbanned": "unban"}

func (s *Service) miModifyMember(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	word := strings.ToLower(req.Arg(2))
	name, isStanding := standings[word]
	if !isStanding {
		name = "modify"
	}
	c, err := s.operatorCall(name, req.Arg(0), req.Arg(1))
	if err != nil {
		return nil, err
	}
	if !isStanding {
		role, ok := roleNames[word]
		if !ok {
			return nil, mi.Errorf(400, "a role is owner, admin, member, muted, unmuted, banned or unbanned")
		}
		c.role = role
	}
	return nil, s.operate(ctx, c)
}

// miRoom finds the room that an argument names.
func (s *Service) miRoom(arg string) (*room, error) {
	name, no := s.parseRoom(arg, "")
	if no != nil {
		return nil, s.miError(refuse("no_room"))
	}
	s.mu.RLock()
	r := s.rooms[name]
	s.mu.RUnlock()
	if r == nil {
		return nil, s.miError(refuse("no_room"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.exists() {
		return nil, s.miError(refuse("no_room"))
	}
	return r, nil
}

func (s *Service) miRoomActive(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return row("active", false), nil //nolint:nilerr // the answer is no
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return row("active", true, "members", r.seated), nil
}

func (s *Service) miRoomMember(_ context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return row("member", false), nil //nolint:nilerr // the answer is no
	}
	u, no := s.parseUser(req.Arg(1), r.name.Domain)
	if no != nil {
		return nil, s.miError(no)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.index[u]
	if m == nil {
		return row("member", false), nil
	}
	return row("member", m.seated(), "role", m.Role.String()), nil
}

func (s *Service) miHistory(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	r, err := s.miRoom(req.Arg(0))
	if err != nil {
		return nil, err
	}
	count, since := 0, time.Time{}
	if a := req.Arg(1); a != "" && a != "0" {
		if count, err = strconv.Atoi(a); err != nil || count < 0 {
			return nil, mi.Errorf(400, "COUNT must be a number")
		}
	}
	if a := req.Arg(2); a != "" {
		var no *refusal
		if since, no = s.parseSince(a); no != nil {
			return nil, s.miError(no)
		}
	}
	entries, err := s.recent(ctx, r, since, count)
	if err != nil {
		return nil, s.miError(err)
	}
	n := &mi.Node{List: true}
	for i := range entries {
		e := &entries[i]
		said := inspect(&e.Message).text
		n.Nodes = append(n.Nodes, row("seq", e.Seq, "time", e.At.UTC().Format(time.RFC3339), "from", e.From.String(),
			"type", mediaType(&e.Message), "size", len(e.Body), "text", strings.ToValidUTF8(said, "?")))
	}
	return n, nil
}

// row makes a reply of names and values, or one of a list.
func row(pairs ...any) *mi.Node {
	n := &mi.Node{}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: pairs[i].(string), Value: pairs[i+1]})
	}
	return n
}

// lastUse is when somebody last spoke or read in a room, or it was made.
func (r *room) lastUse() time.Time {
	last := r.Created
	for _, m := range r.members {
		if m.seated() && m.Seen.After(last) {
			last = m.Seen
		}
	}
	return last
}

func (s *Service) miUnusedRooms(_ context.Context, req *mi.Request) (*mi.Node, error) {
	days := 30
	if a := req.Arg(0); a != "" {
		var err error
		if days, err = strconv.Atoi(a); err != nil || days < 0 {
			return nil, mi.Errorf(400, "DAYS must be a number")
		}
	}
	limit := s.now().AddDate(0, 0, -days)
	n := &mi.Node{List: true}
	for _, r := range s.sorted() {
		r.mu.Lock()
		if last := r.lastUse(); r.exists() && !last.After(limit) {
			n.Nodes = append(n.Nodes, row("room", r.name.String(), "members", r.seated,
				"owner", r.ownerURI(), "last_use", when(last)))
		}
		r.mu.Unlock()
	}
	return n, nil
}

// ownerURI is "" where there is none. The caller holds step or mu.
func (r *room) ownerURI() string {
	if o := r.owner(); o != nil {
		return o.User.String()
	}
	return ""
}

// newestFirst gives members as the management interface lists them: the owner
// first, then who came last. The caller holds r.mu.
func (r *room) newestFirst() []address.AoR {
	var list []address.AoR
	for _, m := range slices.Backward(r.members) {
		if m.seated() && m.Role != Owner {
			list = append(list, m.User)
		}
	}
	if o := r.owner(); o != nil {
		list = slices.Insert(list, 0, o.User)
	}
	return list
}
