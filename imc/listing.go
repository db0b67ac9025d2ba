package imc

import (
	"context"

	"silod/mi"
	"silod/sip"
)

// The two management commands that Kamailio and OpenSIPS have too. The reply has the
// form that the clients of each dialect expect.

// miListRooms streams its reply, to save memory. Rooms that are created or destroyed
// meanwhile may be in it or not.
func (s *Service) miListRooms(_ context.Context, req *mi.Request) (*mi.Node, error) {
	list := &mi.Node{List: true}
	list.Stream = func(yield func(*mi.Node, error) bool) {
		for r := range s.sortedRooms() {
			r.mu.Lock()
			n := (*mi.Node)(nil)
			if r.exists() {
				n = roomNode(req.Dialect, r)
			}
			r.mu.Unlock()
			if n != nil && !yield(n, nil) {
				return
			}
		}
	}
	if req.Dialect == mi.OpenSIPS {
		list.Name = "ROOMS"
		return &mi.Node{Nodes: []*mi.Node{list}}, nil
	}
	return list, nil
}

// roomNode returns the description of a room. The caller holds r.mu.
func roomNode(d mi.Dialect, r *room) *mi.Node {
	uri, owner := r.name.String(), r.ownerURI()
	switch d {
	case mi.Classic:
		n := row("URI", uri, "MEMBERS", r.joined, "OWNER", owner)
		n.Name = "ROOM"
		return n
	case mi.OpenSIPS:
		return row("URI", uri, "MEMBERS", r.joined, "OWNER", owner)
	case mi.Kamailio:
		return row("room", uri, "members", r.joined, "owner", owner)
	}
	return row("room", uri, "members", r.joined, "owner", owner, "private", r.Private, "topic", r.Topic, "title", r.Title)
}

// miListMembers lists the members that have joined.
func (s *Service) miListMembers(_ context.Context, req *mi.Request) (*mi.Node, error) {
	arg := req.Arg(0)
	name, err := s.listedRoom(req)
	if err != nil {
		return nil, err
	}
	r := s.existingRoom(name)
	switch {
	case r == nil && req.Dialect == mi.Kamailio:
		return nil, mi.Errorf(500, "Room not found")
	case r == nil:
		return nil, s.miError(refuse("no_room"))
	}
	r.mu.Lock()
	all, last := r.copies(), r.last
	r.mu.Unlock()
	members, n := newestFirst(all), &mi.Node{}
	switch req.Dialect {
	case mi.Classic:
		// Kamailio shows the room as it was named in the request.
		n.Name, n.Value, n.Attrs = "ROOM", arg, []mi.Attr{{Name: "NR_OF_MEMBERS", Value: len(members)}}
		for _, m := range members {
			n.Add("MEMBER", m.User.String())
		}
	case mi.OpenSIPS:
		n.Add("ROOM", r.name.String())
		n.Nodes = append(n.Nodes, uris("MEMBERS", members))
		n.Add("NO_MEMBERS", len(members))
	case mi.Kamailio:
		n.Add("room", r.name.String())
		n.Nodes = append(n.Nodes, uris("members", members))
		n.Add("count", len(members))
	default:
		n.List = true
		for _, m := range members {
			n.Nodes = append(n.Nodes, memberNode(req.Dialect, m, last))
		}
	}
	return n, nil
}

// listedRoom returns the room named in a call of imc_list_members. Its errors are those
// that the clients of the dialect expect.
func (s *Service) listedRoom(req *mi.Request) (sip.AoR, error) {
	arg, kamailio := req.Arg(0), req.Dialect == mi.Kamailio
	switch {
	case len(req.Args) == 0 && kamailio:
		return sip.AoR{}, mi.Errorf(500, "No room name")
	case len(req.Args) == 0:
		return sip.AoR{}, mi.ErrArguments
	case req.Dialect == mi.Native:
		return s.roomArg(arg)
	case (arg == "" || arg[0] == '.') && kamailio:
		return sip.AoR{}, mi.Errorf(500, "Empty room name")
	case arg == "":
		return sip.AoR{}, mi.Errorf(404, "room name not found")
	case arg[0] == '.':
		return sip.AoR{}, mi.Errorf(400, "empty param")
	}
	name, refused := s.parseRoom(arg, "")
	switch {
	case refused == nil:
		return name, nil
	case kamailio && refused.text == "bad_room":
		return sip.AoR{}, mi.Errorf(500, "Invalid room name")
	case kamailio:
		return sip.AoR{}, mi.Errorf(500, "Room not found")
	}
	return sip.AoR{}, mi.Errorf(404, "no such room")
}

// uris returns a list of the URIs of members.
func uris(name string, members []*Member) *mi.Node {
	n := &mi.Node{Name: name, List: true}
	for _, m := range members {
		n.Add("", m.User.String())
	}
	return n
}

// newestFirst returns the members that have joined in the order of imc_list_members: the owner,
// then the others, the newest first.
func newestFirst(members []Member) []*Member {
	list := make([]*Member, 0, len(members))
	for i := range members {
		if members[i].Role == Owner {
			list = append(list, &members[i])
		}
	}
	for i := len(members) - 1; i >= 0; i-- {
		if m := &members[i]; m.joined() && m.Role != Owner {
			list = append(list, m)
		}
	}
	return list
}
