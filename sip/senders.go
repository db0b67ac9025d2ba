package sip

import (
	"fmt"
	"strings"
)

// A Sender is the sender of a request as far as it has been identified.
type Sender struct {
	AoR           AoR  // zero: unknown
	Authenticated bool // by a password or by a trusted peer, or authentication is off
	Local         bool // in a domain of this server
}

// Senders is a set of senders. The zero value is empty.
type Senders struct {
	all, authenticated, local bool
	names                     []string // of addresses and, beginning with '@', of domains, as written
}

// ParseSenders parses the names of senders: "all", "authenticated", "local" (users of this
// server), "nobody", the address of a user, or "@example.org" for the users of a domain.
func ParseSenders(list []string) (Senders, error) {
	var s Senders
	for _, name := range list {
		name = strings.TrimSpace(name)
		switch strings.ToLower(name) {
		case "all":
			s.all = true
		case "authenticated":
			s.authenticated = true
		case "local":
			s.local = true
		case "nobody":
		default:
			if err := checkSender(name); err != nil {
				return Senders{}, err
			}
			s.names = append(s.names, name)
		}
	}
	return s, nil
}

// checkSender returns an error unless name is an address with a domain, or '@' and a domain.
func checkSender(name string) error {
	if domain, ok := strings.CutPrefix(name, "@"); ok {
		if _, _, err := ParseHostPort(domain); err != nil {
			return fmt.Errorf("%s is not a domain: %w", quote(name), err)
		}
		return nil
	}
	if _, err := ParseAoR(name); err != nil {
		return fmt.Errorf("%s is neither an address, a domain with an @ before it, nor one of all, authenticated, local and nobody", quote(name))
	}
	return nil
}

// Allows reports whether a sender is in the set. A sender that is named, or of a domain that
// is named, must be authenticated, because From can be forged; d decides how names are read.
func (s Senders) Allows(d Domains, from Sender) bool {
	switch {
	case s.all, s.authenticated && from.Authenticated, s.local && from.Local && from.Authenticated:
		return true
	case from.AoR.IsZero() || !from.Authenticated:
		return false
	}
	for _, name := range s.names {
		if domain, ok := strings.CutPrefix(name, "@"); ok {
			if d.Row("", domain).Domain == from.AoR.Domain {
				return true
			}
		} else if a, _, err := d.Parse(name); err == nil && a == from.AoR {
			return true
		}
	}
	return false
}
