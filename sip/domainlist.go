package sip

import (
	"cmp"
	"slices"
)

// A DomainName is a name of Domains and the domain that it stands for, which is the name
// itself if it is not an alias.
type DomainName struct{ Name, Domain string }

// List returns all names: the main domain, its aliases, then the other domains.
func (d Domains) List() []DomainName {
	s := d.load()
	list := make([]DomainName, 0, len(s.names))
	for name, domain := range s.names {
		list = append(list, DomainName{name, domain})
	}
	rank := func(n DomainName) int { // of the main domain, its aliases, other domains
		switch {
		case n.Name == s.main:
			return 0
		case n.Domain == s.main:
			return 1
		}
		return 2
	}
	slices.SortFunc(list, func(a, b DomainName) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	return list
}
