package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
)

// AoR is a canonical address-of-record, fit to be a map key: two URIs that name
// the same user give equal AoRs. It is made by Domains.AoR, by ParseAoR and by
// nothing else.
type AoR struct {
	User   string // escapes normalised (RFC 3261 section 19.1.4); "" names the domain itself
	Domain string // lower case, an IP address in its shortest form; with a port only where that is part of a foreign identity
}

// String writes the AoR as a SIP URI.
func (a AoR) String() string {
	if a.User == "" {
		return "sip:" + a.Domain
	}
	return "sip:" + a.User + "@" + a.Domain
}

// IsZero tells the AoR that names nobody.
func (a AoR) IsZero() bool { return a == AoR{} }

// AoR makes the AoR that a URI names, keeping a port other than the default
// one. For URIs that may be of our own domains use Domains.AoR.
func (u URI) AoR() AoR {
	a := AoR{User: canonicalUser(u.User), Domain: canonicalHost(u.Host)}
	if u.Port != 0 && u.Port != 5060 && u.Port != 5061 {
		a.Domain += ":" + strconv.Itoa(int(u.Port))
	}
	return a
}

// Domains are the host names and addresses that are ours. Copies share their set:
// what Replace does to one, all see. The zero value holds none, for ever.
type Domains struct{ set *atomic.Pointer[domainSet] }

// domainSet is never changed once it is in use.
type domainSet struct {
	names map[string]struct{}
	first string
}

// NewDomains makes a set of domains; the first is the one that silod writes
// where it must choose.
func NewDomains(names ...string) Domains {
	d := Domains{new(atomic.Pointer[domainSet])}
	d.Replace(names...)
	return d
}

// Replace puts other domains in the place of those that NewDomains was given.
func (d Domains) Replace(names ...string) { d.set.Store(newDomainSet(names)) }

func newDomainSet(names []string) *domainSet {
	d := &domainSet{names: make(map[string]struct{}, len(names))}
	for _, n := range names {
		n = canonicalHost(strings.TrimSpace(n))
		if n == "" {
			continue
		}
		if d.first == "" {
			d.first = n
		}
		d.names[n] = struct{}{}
	}
	return d
}

// noDomains is the set of the zero value.
var noDomains domainSet

func (d Domains) load() *domainSet {
	if d.set == nil {
		return &noDomains
	}
	return d.set.Load()
}

// Default is the first domain.
func (d Domains) Default() string { return d.load().first }

// Has tells whether a host, with or without a port, is ours.
func (d Domains) Has(host string) bool {
	h, _, err := ParseHostPort(host)
	if err != nil {
		return false
	}
	_, ok := d.load().names[canonicalHost(h)]
	return ok
}

// AoR makes the AoR that a URI names and tells whether it is of one of our
// domains. An AoR of ours never has a port: sip:bob@127.0.0.1:5070 is bob.
func (d Domains) AoR(u URI) (AoR, bool) {
	host := canonicalHost(u.Host)
	if _, ours := d.load().names[host]; ours {
		return AoR{User: canonicalUser(u.User), Domain: host}, true
	}
	return u.AoR(), false
}

// Parse reads what a person may write for a user or a room: a SIP URI, with or
// without angle brackets, "user@domain", or "user" alone, which is of our first
// domain. Parameters are ignored. ours tells whether the domain is one of ours.
func (d Domains) Parse(s string) (a AoR, ours bool, err error) {
	s = strings.TrimSpace(s)
	if i := strings.IndexByte(s, '<'); i >= 0 {
		na, err := ParseNameAddr(s)
		if err != nil {
			return AoR{}, false, err
		}
		s = na.URI.String()
	}
	switch {
	case s == "":
		return AoR{}, false, fmt.Errorf("empty address")
	case hasScheme(s):
	case strings.Contains(s, "@"):
		s = "sip:" + s
	case d.Default() == "":
		return AoR{}, false, fmt.Errorf("%s names no domain", quote(s))
	default:
		s = "sip:" + s + "@" + d.Default()
	}
	u, err := ParseURI(s)
	if err != nil {
		return AoR{}, false, err
	}
	if !u.IsSIP() {
		return AoR{}, false, fmt.Errorf("%s: %w", quote(s), ErrScheme)
	}
	if u.User == "" {
		return AoR{}, false, fmt.Errorf("%s names no user", quote(s))
	}
	a, ours = d.AoR(u)
	return a, ours, nil
}

// ParseAoR reads the form that AoR.String writes.
func ParseAoR(s string) (AoR, error) {
	a, _, err := Domains{}.Parse(s)
	return a, err
}

// hasScheme tells "sip:bob@host" from "bob@host:5070".
func hasScheme(s string) bool {
	i := strings.IndexAny(s, ":@")
	return i > 0 && s[i] == ':'
}

// canonicalHost brings the spellings of a host to one: lower case, without the dot
// at the end; an IPv6 address in its shortest form and in brackets, an IPv4 address
// that is mapped to one as itself (RFC 5118 section 4.9).
func canonicalHost(host string) string {
	h := strings.TrimSuffix(lower(host), ".")
	if !strings.Contains(h, ":") {
		return h
	}
	a, err := netip.ParseAddr(strings.Trim(h, "[]"))
	switch a = a.Unmap(); {
	case err != nil:
		return h
	case a.Is4():
		return a.String()
	}
	return "[" + a.String() + "]"
}
