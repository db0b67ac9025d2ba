package imc

import "silod/sip"

// The widths of Kamailio's columns, in bytes: imc_members.room holds the room's URI.
const (
	maxRoomURI = 64
	maxUser    = 64
	maxDomain  = 64
)

// checkRoomName checks the name of a room that is to be created. Its error is a refusal.
func (s *Service) checkRoomName(name sip.AoR) error {
	set := s.settings()
	switch {
	case s.isManager(name) || isAside(name) || !set.matches(name):
		return refuse("bad_room", "value", clip(plainName(name)), "pattern", set.config.RoomPattern)
	case len(name.String()) > maxRoomURI:
		return refuse("too_long", "value", clip(name.String()), "limit", itoa(maxRoomURI))
	}
	return nil
}

// checkUser checks that a user can become a member of a room: it is not a room
// itself, its name can be shown, it can be reached, and the columns can hold its address.
func (s *Service) checkUser(r *room, u sip.AoR) error {
	switch {
	case s.IsRoom(u):
		return refuse("not_a_user", "user", displayName(u, r.name)).in(r.name)
	case !isName(u.User) || !u.Reachable():
		return refuse("bad_user", "value", clip(displayName(u, r.name))).in(r.name)
	case len(u.User) > maxUser:
		return refuse("too_long", "value", clip(plainName(u)), "limit", itoa(maxUser))
	case len(u.Domain) > maxDomain:
		return refuse("too_long", "value", clip(u.Domain), "limit", itoa(maxDomain))
	}
	return nil
}

// mayCreate reports whether a sender may create rooms.
func (s *Service) mayCreate(from sip.Sender) bool {
	return s.settings().creators.Allows(s.domains, from)
}
