// Package sip is the syntax and the values of SIP: URIs, name-addr header values with
// their parameters, the canonical address-of-record (AoR) that everything in silod is
// keyed by, and the comparison rules of RFC 3261 sections 19.1 and 20.10. It is pure:
// no I/O, no DNS, no clock, no locks.
//
// Parsers take bytes from strangers: they never panic and mend nothing silently. A value
// that does not parse is an error with the reason in words.
package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// URI is a SIP or SIPS URI taken apart (RFC 3261 section 19.1.1), or any other
// URI of which only the scheme is known. Parts are kept as written, escapes
// and all, so that String gives back an equivalent URI.
type URI struct {
	Scheme string // lower case: "sip", "sips", "tel", ...
	User   string // as written, without password; "" where there is none
	Pass   string // as written
	Host   string // lower case; an IPv6 address keeps its brackets
	Port   uint16 // 0 where none was written
	Params Params // behind the host
	Header string // what follows '?', as written
	Opaque string // everything behind the scheme, where it is not SIP or SIPS
}

// ErrScheme is wrapped by errors about a URI that is well formed but not SIP or
// SIPS: the answer is 416, not 400 (RFC 3261 section 8.2.2.1).
var ErrScheme = errors.New("unsupported URI scheme")

// ParseURI takes a URI apart. A scheme other than sip and sips is no error
// here: see URI.IsSIP.
func ParseURI(s string) (URI, error) {
	colon := strings.IndexByte(s, ':')
	if colon <= 0 {
		return URI{}, fmt.Errorf("URI %s has no scheme", quote(s))
	}
	for i := range colon {
		if c := s[i]; !isAlpha(c) && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return URI{}, fmt.Errorf("URI %s has a bad scheme", quote(s))
		}
	}
	for i := range len(s) {
		if !uriChars[s[i]] {
			return URI{}, fmt.Errorf("URI %s holds a character that must be escaped", quote(s))
		}
	}
	u := URI{Scheme: lower(s[:colon])}
	rest := s[colon+1:]
	if !u.IsSIP() {
		u.Opaque = rest
		return u, nil
	}
	// The user part may hold ';' and '?' (RFC 4475 section 3.1.1.9), so the '@'
	// is looked for before anything behind the host is.
	if at := strings.LastIndexByte(beforeHeaders(rest), '@'); at >= 0 {
		u.User, u.Pass, _ = strings.Cut(rest[:at], ":")
		switch {
		case u.User == "":
			return URI{}, fmt.Errorf("URI %s has an empty user part", quote(s))
		case strings.Contains(rest[:at], "@"):
			return URI{}, fmt.Errorf("URI %s has an @ in the user part that is not escaped", quote(s))
		}
		if err := checkEscapes(rest[:at]); err != nil {
			return URI{}, fmt.Errorf("URI %s: %w", quote(s), err)
		}
		rest = rest[at+1:]
	}
	rest, u.Header, _ = strings.Cut(rest, "?")
	hostport, params, _ := strings.Cut(rest, ";")
	var err error
	if u.Host, u.Port, err = ParseHostPort(hostport); err != nil {
		return URI{}, fmt.Errorf("URI %s: %w", quote(s), err)
	}
	if params != "" {
		if u.Params, err = parseURIParams(params); err != nil {
			return URI{}, fmt.Errorf("URI %s: %w", quote(s), err)
		}
	}
	return u, nil
}

// beforeHeaders cuts the header part off where an '@' behind it belongs to a
// header value: the last '@' counts only if no host can have come before it.
func beforeHeaders(s string) string {
	q := strings.IndexByte(s, '?')
	if q < 0 || !strings.Contains(s[:q], "@") {
		return s
	}
	return s[:q]
}

// parseURIParams reads uri-parameters, which know no quoted strings.
func parseURIParams(s string) (Params, error) {
	var ps Params
	for p := range strings.SplitSeq(s, ";") {
		name, value, has := strings.Cut(p, "=")
		if name == "" {
			return nil, errors.New("empty parameter")
		}
		ps = append(ps, Param{Name: name, Value: value, HasValue: has})
	}
	return ps, nil
}

// ParseHostPort reads "host", "host:port", "[v6]" and "[v6]:port", the host in
// lower case. A port of 0 stands for none.
func ParseHostPort(s string) (host string, port uint16, err error) {
	host, tail := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("IPv6 address without closing bracket")
		}
		host, tail = s[:end+1], s[end+1:]
		// A zone means something on one machine only, and may hold anything.
		if a, err := netip.ParseAddr(host[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return "", 0, fmt.Errorf("bad IPv6 address %s", quote(host))
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, tail = s[:i], s[i:]
	}
	if host == "" {
		return "", 0, errors.New("empty host")
	}
	if host[0] != '[' {
		for i := range len(host) {
			if !hostChars[host[i]] {
				return "", 0, fmt.Errorf("bad host name %s", quote(host))
			}
		}
		if host[0] == '.' || strings.Contains(host, "..") {
			return "", 0, fmt.Errorf("bad host name %s", quote(host))
		}
	}
	if tail != "" {
		n, err := strconv.ParseUint(tail[1:], 10, 16)
		if tail[0] != ':' || err != nil || n == 0 {
			return "", 0, fmt.Errorf("bad port %s", quote(tail))
		}
		port = uint16(n)
	}
	return lower(host), port, nil
}

// IsSIP tells whether the URI is of the sip or sips scheme.
func (u URI) IsSIP() bool { return u.Scheme == "sip" || u.Scheme == "sips" }

// HostPort is the host with its port, where one was written.
func (u URI) HostPort() string {
	if u.Port == 0 {
		return u.Host
	}
	return u.Host + ":" + strconv.Itoa(int(u.Port))
}

// Addr is the host as an IP address, where it is one.
func (u URI) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	return a.Unmap(), err == nil
}

// String writes the URI.
func (u URI) String() string { return string(u.appendTo(make([]byte, 0, 80))) }

func (u *URI) appendTo(b []byte) []byte {
	b = append(append(b, u.Scheme...), ':')
	if !u.IsSIP() {
		return append(b, u.Opaque...)
	}
	if u.User != "" {
		b = append(b, u.User...)
		if u.Pass != "" {
			b = append(append(b, ':'), u.Pass...)
		}
		b = append(b, '@')
	}
	b = append(b, u.Host...)
	if u.Port != 0 {
		b = strconv.AppendUint(append(b, ':'), uint64(u.Port), 10)
	}
	b = u.Params.appendTo(b)
	if u.Header != "" {
		b = append(append(b, '?'), u.Header...)
	}
	return b
}

// Equal compares two URIs by RFC 3261 section 19.1.4: user with case, host
// without, escapes decoded, and of the parameters those that must be equal
// when only one URI has them.
func (u URI) Equal(v URI) bool {
	if u.Scheme != v.Scheme || u.Opaque != v.Opaque || u.Port != v.Port ||
		u.Host != v.Host && canonicalHost(u.Host) != canonicalHost(v.Host) ||
		unescape(u.User) != unescape(v.User) || unescape(u.Pass) != unescape(v.Pass) {
		return false
	}
	return paramsMatch(u.Params, v.Params) && paramsMatch(v.Params, u.Params) && u.Header == v.Header
}

// paramsMatch: every parameter of a is equal in b, or absent there unless it is
// one of those that never match a URI without it.
func paramsMatch(a, b Params) bool {
	for _, p := range a {
		other, ok := b.Get(p.Name)
		switch {
		case ok && !strings.EqualFold(unescape(p.Value), unescape(other)):
			return false
		case !ok:
			switch lower(p.Name) {
			case "user", "ttl", "method", "maddr", "transport":
				return false
			}
		}
	}
	return true
}
