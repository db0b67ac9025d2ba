package sip

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
)

// An AoR is a canonical address-of-record: the AoRs of two URIs for the same user are
// equal. URI.AoR, Domains.AoR, Domains.Parse and ParseAoR return AoRs; do not make one
// from other strings.
type AoR struct {
	User   string // with normalised escapes (RFC 3261 section 19.1.4); "" for the domain itself
	Domain string // lower case, an IP address in its shortest form; with a port only in other domains
}

// String returns the AoR as a SIP URI.
func (a AoR) String() string {
	if a.User == "" {
		return "sip:" + a.Domain
	}
	return "sip:" + a.User + "@" + a.Domain
}

// IsZero reports whether a is the zero AoR.
func (a AoR) IsZero() bool { return a == AoR{} }

// AoR returns the AoR of a URI, with its port unless that is a default one. For URIs that
// may be in our domains use Domains.AoR.
func (u URI) AoR() AoR {
	a := AoR{User: canonicalUser(u.User), Domain: canonicalHost(u.Host)}
	if u.Port != 0 && u.Port != 5060 && u.Port != 5061 {
		a.Domain += ":" + strconv.Itoa(int(u.Port))
	}
	return a
}

// Domains are our host names and addresses. Copies share one set, so that Replace changes
// all of them. The zero value is an empty set that cannot be changed.
type Domains struct{ set *atomic.Pointer[domainSet] }

// A domainSet is not changed after it was made.
type domainSet struct {
	names map[string]struct{}
	first string
}

// NewDomains returns a set of domains. The first is the default.
func NewDomains(names ...string) Domains {
	d := Domains{new(atomic.Pointer[domainSet])}
	d.Replace(names...)
	return d
}

// Replace replaces the domains by others.
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

// noDomains is the set of the zero Domains.
var noDomains domainSet

func (d Domains) load() *domainSet {
	if d.set == nil {
		return &noDomains
	}
	return d.set.Load()
}

// Default returns the first domain, or "".
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

// AoR returns the AoR of a URI, and reports whether it is in one of the domains. Such an
// AoR has no port: sip:bob@127.0.0.1:5070 is sip:bob@127.0.0.1.
func (d Domains) AoR(u URI) (AoR, bool) {
	host := canonicalHost(u.Host)
	if _, ours := d.load().names[host]; ours {
		return AoR{User: canonicalUser(u.User), Domain: host}, true
	}
	return u.AoR(), false
}

// Parse parses an address as a user may write it: a SIP URI, with or without angle
// brackets, "user@domain", or "user" alone, which is in the default domain. It ignores
// parameters. It reports whether the address is in one of the domains. If the scheme is
// not sip or sips, the error wraps ErrScheme.
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

// ParseAoR parses an AoR as AoR.String returns it.
func ParseAoR(s string) (AoR, error) {
	a, _, err := Domains{}.Parse(s)
	return a, err
}

// hasScheme distinguishes "sip:bob@host" from "bob@host:5070".
func hasScheme(s string) bool {
	i := strings.IndexAny(s, ":@")
	return i > 0 && s[i] == ':'
}

// canonicalHost returns the canonical form of a host: lower case, without a dot at the
// end; an IPv6 address in its shortest form and in brackets, an IPv4-mapped one as the
// IPv4 address (RFC 5118 section 4.9).
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
