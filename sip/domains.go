package sip

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// Domains is the set of host names and addresses for which this server is responsible.
// Copies share one set, so Configure changes all of them. The zero value is an empty set that
// cannot be changed. The methods may be called concurrently.
type Domains struct{ set *atomic.Pointer[domainSet] }

// DomainNames are the settings of Domains.
type DomainNames struct {
	Names         []string // domains with users of their own; the first is the main one
	Aliases       []string // other names of the main domain
	CaseSensitive bool     // users of the domains with names that differ only by case are different
}

// A domainSet is immutable.
type domainSet struct {
	names map[string]string // the domain of each name, which is the name itself if it is no alias
	main  string
	fold  bool
}

// NewDomains returns a set of domains without aliases. The first is the main domain.
func NewDomains(names ...string) Domains {
	d := Domains{new(atomic.Pointer[domainSet])}
	d.Configure(DomainNames{Names: names})
	return d
}

// Configure replaces all domains. An alias that is also one of the names is an alias, unless
// it is the main domain.
func (d Domains) Configure(n DomainNames) {
	s := &domainSet{names: make(map[string]string, len(n.Names)+len(n.Aliases)), fold: !n.CaseSensitive}
	for _, name := range n.Names {
		name = canonicalHost(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		if s.main == "" {
			s.main = name
		}
		s.names[name] = name
	}
	for _, name := range n.Aliases {
		if name = canonicalHost(strings.TrimSpace(name)); name != "" && s.main != "" {
			s.names[name] = s.main
		}
	}
	d.set.Store(s)
}

// noDomains is the set of a zero Domains.
var noDomains domainSet

func (d Domains) load() *domainSet {
	if d.set == nil {
		return &noDomains
	}
	return d.set.Load()
}

// Default returns the main domain, or "" if the set is empty.
func (d Domains) Default() string { return d.load().main }

// Has reports whether a host, with or without a port, is one of the domains or an alias.
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
	if a, ours := d.load().local(user, host); ours {
		return a, true
	}
	return u.AoR(), false
}

// local returns the AoR of a user and a host, and reports whether the host is one of the
// names.
func (s *domainSet) local(user, host string) (AoR, bool) {
	domain, ours := s.names[canonicalHost(host)]
	if !ours {
		return AoR{}, false
	}
	return AoR{User: canonicalUser(user, s.fold), Domain: domain}, true
}

// Row returns the AoR of a user and a domain in a table, which other programs may have
// written in any spelling. Without a domain it is in the main domain: Kamailio leaves the
// domain out with use_domain = 0.
func (d Domains) Row(user, domain string) AoR {
	s := d.load()
	if domain == "" {
		domain = s.main
	}
	if a, ours := s.local(user, domain); ours {
		return a
	}
	u := URI{Scheme: "sip", User: user}
	var err error
	if u.Host, u.Port, err = ParseHostPort(domain); err != nil {
		u.Host = domain
	}
	a, _ := d.AoR(u)
	return a
}

// Parse parses an address as people may write it: a SIP URI, with or without angle
// brackets, "user@domain", or "user" alone, which is in the main domain. A space within the
// user, and a '%' that begins no escape, stand for themselves; a user of white space only is an
// error. Parse ignores parameters. ours reports whether the address is in one of the domains. If
// the scheme is neither sip nor sips, the error wraps ErrScheme.
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
	case d.Has(s):
		return AoR{}, false, fmt.Errorf("%s names no user", quote(s))
	case hasScheme(s):
	case strings.Contains(s, "@"):
		s = "sip:" + s
	case d.Default() == "":
		return AoR{}, false, fmt.Errorf("%s names no domain", quote(s))
	default:
		s = "sip:" + s + "@" + d.Default()
	}
	u, err := ParseURI(escapePlain(s))
	if err != nil {
		return AoR{}, false, err
	}
	if !u.IsSIP() {
		return AoR{}, false, fmt.Errorf("%s: %w", quote(s), ErrScheme)
	}
	if strings.TrimSpace(Unescape(u.User)) == "" {
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

// escapePlain escapes the characters before the host of a SIP URI that people write but
// ParseURI refuses.
func escapePlain(s string) string {
	at := strings.LastIndexByte(beforeHeaders(s), '@')
	if at < 0 || strings.IndexByte(s[:at], ' ') < 0 && strings.IndexByte(s[:at], '%') < 0 {
		return s
	}
	var b strings.Builder
	for i := range at {
		switch {
		case s[i] == ' ':
			b.WriteString("%20")
		case s[i] == '%' && !isEscape(s[i:at]):
			b.WriteString("%25")
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String() + s[at:]
}
