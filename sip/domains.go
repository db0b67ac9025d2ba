package sip

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Domains is the set of host names and addresses for which this server is responsible.
// Copies share one set, so Replace changes all of them. The zero value is an empty set that
// cannot be replaced. The methods may be called concurrently.
type Domains struct{ set *atomic.Pointer[domainSet] }

// A domainSet is immutable.
type domainSet struct {
	names map[string]struct{}
	first string // the default
}

// NewDomains returns a set of domains. The first is the default.
func NewDomains(names ...string) Domains {
	d := Domains{new(atomic.Pointer[domainSet])}
	d.Replace(names...)
	return d
}

// Replace replaces all domains.
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

// noDomains is the set of a zero Domains.
var noDomains domainSet

func (d Domains) load() *domainSet {
	if d.set == nil {
		return &noDomains
	}
	return d.set.Load()
}

// Default returns the default domain, or "" if the set is empty.
func (d Domains) Default() string { return d.load().first }

// Has reports whether a host, with or without a port, is one of the domains.
func (d Domains) Has(host string) bool {
	h, _, err := ParseHostPort(host)
	if err != nil {
		return false
	}
	_, ok := d.load().names[canonicalHost(h)]
	return ok
}

// AoR returns the AoR of a URI and reports whether it is in one of the domains. Such an AoR
// has no port: that of sip:bob@127.0.0.1:5070 is sip:bob@127.0.0.1. A URI of another scheme has
// an AoR only if it names one of the domains, as im:bob@127.0.0.1 does.
func (d Domains) AoR(u URI) (AoR, bool) {
	user, host := u.User, u.Host
	if !u.IsSIP() {
		user, host = u.opaqueAddress()
	}
	host = canonicalHost(host)
	if _, ours := d.load().names[host]; ours {
		return AoR{User: canonicalUser(user), Domain: host}, true
	}
	return u.AoR(), false
}

// Parse parses an address as a user may write it: a SIP URI, with or without angle
// brackets, "user@domain", or "user" alone, which is in the default domain. It ignores
// parameters. ours reports whether the address is in one of the domains. If the scheme is
// neither sip nor sips, the error wraps ErrScheme.
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
		return AoR{}, false, errors.New("empty address")
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

// hasScheme reports whether s starts with a scheme, as "sip:bob@host" does but
// "bob@host:5070" does not.
func hasScheme(s string) bool {
	i := strings.IndexAny(s, ":@")
	return i > 0 && s[i] == ':'
}
