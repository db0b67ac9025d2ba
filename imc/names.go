package imc

import (
	"strings"

	"silod/sip"
)

// IsRoom reports whether Handle takes messages to an address: it is a room, a valid
// room name, or the manager.
func (s *Service) IsRoom(a sip.AoR) bool {
	a = a.Lower()
	if isAside(a) {
		return false
	}
	s.mu.RLock()
	_, known := s.rooms[a]
	s.mu.RUnlock()
	return known || s.domains.Has(a.Domain) && (s.isManager(a) || s.settings().matches(a))
}

// isManager reports whether an address is the one that takes commands for all rooms.
func (s *Service) isManager(a sip.AoR) bool {
	return s.config().Manager != "" && a.User == s.config().Manager
}

// matches reports whether an AoR can be that of a room. Config.RoomPattern is about the
// name as people write it.
func (set *Settings) matches(name sip.AoR) bool {
	return set.pattern.MatchString(name.PlainUser()) && isName(name.User)
}

// addressee returns the room that a request is for. A request to the manager whose To
// names a room is for that room: a proxy, or a client that knows the manager only as a
// next hop, changes the Request-URI and leaves To.
func (s *Service) addressee(req *Request) sip.AoR {
	room := req.Room.Lower()
	if !s.isManager(room) {
		return room
	}
	to, err := sip.ParseNameAddr(req.To)
	if err != nil {
		return room
	}
	if a, ours := s.domains.AoR(to.URI); ours && s.IsRoom(a) && !s.isManager(a.Lower()) {
		return a.Lower()
	}
	return room
}

// displayName returns a user as a room's texts show it: with the domain only if it is
// not the room's. parseUser returns the user for it.
func displayName(u, room sip.AoR) string {
	if u.Domain == room.Domain {
		return plainName(u)
	}
	return plainName(u) + "@" + u.Domain
}

// plainName returns the user part of an AoR as texts show it. Besides the characters that
// sip.AoR.PlainUser keeps escaped, it escapes spaces, because a name of several words could
// be read as a whole notice, and a mark of #list at the beginning.
func plainName(a sip.AoR) string {
	name := a.PlainUser()
	if name == "" {
		return ""
	}
	switch name[0] {
	case '*':
		name = "%2A" + name[1:]
	case '~':
		name = "%7E" + name[1:]
	}
	return strings.ReplaceAll(name, " ", "%20")
}

// controls are the beginnings of the escapes of control characters and line separators in
// a canonical user part.
var controls = []string{"%0", "%1", "%7F", "%C2%8", "%C2%9", "%E2%80%A8", "%E2%80%A9"}

// isName reports whether a user part can be the name of a room or a member: it has no
// control characters, and is not empty or made of spaces.
func isName(user string) bool {
	for _, c := range controls {
		if strings.Contains(user, c) {
			return false
		}
	}
	return strings.ReplaceAll(user, "%20", "") != ""
}
