package imc

import (
	"strings"

	"silod/sip"
)

// parseAddress parses the address of a user or a room: a URI or a name, with or
// without angle brackets. A name without a domain gets domain. ours reports whether
// the domain is served here.
func (s *Service) parseAddress(word, domain string) (a sip.AoR, ours bool, err error) {
	word = strings.TrimSpace(word)
	if w, found := strings.CutPrefix(word, "<"); found {
		word = strings.TrimSuffix(w, ">")
	}
	if domain != "" && word != "" && !strings.ContainsAny(word, "@:") && !s.domains.Has(word) {
		word += "@" + domain
	}
	return s.domains.Parse(word)
}

// parseUser parses the address of a user.
func (s *Service) parseUser(word, domain string) (sip.AoR, *refusal) {
	a, _, err := s.parseAddress(word, domain)
	if err != nil {
		return sip.AoR{}, refuse("bad_user", "value", printable(clip(word)))
	}
	return a, nil
}

// parseRoom parses the name of a room, which must be in a domain that is served here.
func (s *Service) parseRoom(word, domain string) (sip.AoR, *refusal) {
	a, ours, err := s.parseAddress(word, domain)
	switch {
	case err != nil:
		return sip.AoR{}, refuse("bad_room", "value", printable(clip(word)), "pattern", s.config().RoomPattern)
	case !ours:
		return sip.AoR{}, refuse("foreign_room", "value", printable(clip(word)))
	}
	return a.Lower(), nil
}

// parseExistingRoom parses the name of a room in a command. A name that no room can have is a
// wrong argument, not a room that could be created.
func (s *Service) parseExistingRoom(word, domain string) (sip.AoR, *refusal) {
	a, refused := s.parseRoom(word, domain)
	if refused == nil && !s.IsRoom(a) {
		return sip.AoR{}, refuse("bad_room", "value", printable(clip(word)), "pattern", s.config().RoomPattern)
	}
	return a, refused
}
