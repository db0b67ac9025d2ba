package sip

import (
	"net/netip"
	"strconv"
	"strings"
)

// An AoR is a canonical address-of-record: the AoRs of two URIs for the same user are
// equal. AoRs must come from URI.AoR, ParseAoR, or the methods AoR, Parse and Row of Domains.
type AoR struct {
	User   string // with all escapes that RFC 3261 section 25.1 asks for, and no others; "" for the domain itself
	Domain string // in lower case, an IP address in its shortest form; foreign domains may have a port
}

// String returns the AoR as a SIP URI.
func (a AoR) String() string {
	if a.User == "" {
		return "sip:" + a.Domain
	}
	return "sip:" + a.User + "@" + a.Domain
}

// Plain returns the AoR as people write it, without a scheme: "jürgen@example.org". Domains.Parse
// returns the same AoR for it, if it has a user.
func (a AoR) Plain() string {
	if a.User == "" {
		return a.Domain
	}
	return a.PlainUser() + "@" + a.Domain
}

// PlainUser returns the user as people write it. Characters that cannot be seen remain
// escaped, and so do delimiters and brackets.
func (a AoR) PlainUser() string { return plainUser(a.User) }

// DecodedUser returns the user without escapes, as other programs write it into tables. It may
// contain any bytes.
func (a AoR) DecodedUser() string { return Unescape(a.User) }

// Lower returns the AoR with the letters A to Z in lower case. The digits of escapes stay as they
// are.
func (a AoR) Lower() AoR {
	return AoR{User: lowerUser(a.User), Domain: strings.ToLower(a.Domain)}
}

// IsZero reports whether a is the zero AoR.
func (a AoR) IsZero() bool { return a == AoR{} }

// Reachable reports whether a message can be sent to a: it names a user, and its domain is not
// one of those that cannot exist (RFC 2606), such as that of sip:anonymous@anonymous.invalid
// (RFC 3323 section 4.1.1.3).
func (a AoR) Reachable() bool {
	return a.User != "" && a.Domain != "invalid" && !strings.HasSuffix(a.Domain, ".invalid")
}

// AoR returns the AoR of a URI in a foreign domain, with its port unless that is 5060 or
// 5061. It is zero if the scheme is neither sip nor sips. For other URIs use Domains.AoR.
func (u URI) AoR() AoR {
	if !u.IsSIP() {
		return AoR{}
	}
	a := AoR{User: canonicalUser(u.User, false), Domain: canonicalHost(u.Host)}
	if u.Port != 0 && u.Port != 5060 && u.Port != 5061 {
		a.Domain += ":" + strconv.Itoa(int(u.Port))
	}
	return a
}

// ParseAoR parses an AoR as AoR.String returns it. A user of white space only is an error.
func ParseAoR(s string) (AoR, error) {
	a, _, err := Domains{}.Parse(s)
	return a, err
}

// canonicalHost returns the canonical form of a host: in lower case and without a final
// dot. An IPv6 address is in its shortest form, in brackets. An IPv4-mapped one becomes the
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
