package sip

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A URI is a SIP or SIPS URI (RFC 3261 section 19.1.1), or a URI with another scheme, of
// which only the scheme is parsed. Escapes are not decoded, so that String returns an
// equivalent URI.
type URI struct {
	Scheme string // lower case: "sip", "sips", "tel", ...
	User   string // without the password; "" if missing
	Pass   string // password
	Host   string // lower case; an IPv6 address in brackets
	Port   uint16 // 0 if missing
	Params Params // after the host
	Header string // after '?'
	Opaque string // after the scheme, if that is not sip or sips
}

// ErrScheme is the error for a well-formed URI that is not a SIP or SIPS URI. The answer is
// 416, not 400 (RFC 3261 section 8.2.2.1).
var ErrScheme = errors.New("unsupported URI scheme")

// ParseURI parses a URI. A scheme other than sip and sips is not an error: see URI.IsSIP.
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
	// The user part may contain ';' and '?' (RFC 4475 section 3.1.1.9), so the '@' is
	// found first.
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

// beforeHeaders returns the part of a URI that may contain the '@' after the user. If there
// is an '@' before the first '?', it is the part before the '?'.
func beforeHeaders(s string) string {
	q := strings.IndexByte(s, '?')
	if q < 0 || !strings.Contains(s[:q], "@") {
		return s
	}
	return s[:q]
}

// parseURIParams parses uri-parameters, in which a value cannot be a quoted string.
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

// ParseHostPort parses "host", "host:port", "[v6]" and "[v6]:port". It returns the host in
// lower case, and port 0 if there is none.
func ParseHostPort(s string) (host string, port uint16, err error) {
	host, tail := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, errors.New("IPv6 address without closing bracket")
		}
		host, tail = s[:end+1], s[end+1:]
		// A zone is valid on one host only, and may contain any character.
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

// IsSIP reports whether the scheme is sip or sips.
func (u URI) IsSIP() bool { return u.Scheme == "sip" || u.Scheme == "sips" }

// HostPort returns the host, with the port if there is one.
func (u URI) HostPort() string {
	if u.Port == 0 {
		return u.Host
	}
	return u.Host + ":" + strconv.Itoa(int(u.Port))
}

// Addr returns the host as an IP address. It reports whether the host is one.
func (u URI) Addr() (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	return a.Unmap(), err == nil
}

// String returns the URI as text.
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
