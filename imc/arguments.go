package imc

import (
	"strings"

	"silod/mi"
	"silod/sip"
)

// Arguments of management commands. An operator may write chat-1 or a complete URI, as in
// a # command. An error names the argument.

// roomArg parses the argument ROOM, the name of a room of this server.
func (s *Service) roomArg(value string) (sip.AoR, error) {
	a, refused := s.parseRoom(value, "")
	if refused != nil {
		return sip.AoR{}, argError("ROOM", value, refused)
	}
	return a, nil
}

// userArg parses the argument arg, the address of a user. A name without a domain gets
// domain.
func (s *Service) userArg(arg, value, domain string) (sip.AoR, error) {
	a, refused := s.parseUser(value, domain)
	if refused != nil {
		return sip.AoR{}, argError(arg, value, refused)
	}
	return a, nil
}

// argError returns the error of a management command about the value of an argument.
func argError(arg, value string, refused *refusal) error {
	form := "write bob, bob@example.org or sip:bob@example.org"
	if arg == "ROOM" {
		form = "write chat-1, chat-1@example.org or sip:chat-1@example.org"
	}
	shown := printable(clip(value))
	switch {
	case strings.TrimSpace(shown) == "":
		return mi.Errorf(400, "%s is empty: %s", arg, form)
	case refused.text == "foreign_room":
		return mi.Errorf(400, "%s is wrong: %s is not in a domain of this server", arg, shown)
	}
	return mi.Errorf(400, "%s is wrong: %s is not an address, %s", arg, shown, form)
}
