package sip

import "strings"

// opaqueAddress returns the user and the host that a URI of another scheme names, so that a
// sender cannot use the address of a user of ours under another scheme: those of
// im:alice@example.org (RFC 3860) and mailto:alice@example.org, and the number and context of
// tel:1234;phone-context=example.org (RFC 3966 section 5.1.5). The host is "" if there is none.
func (u URI) opaqueAddress() (user, host string) {
	if u.Scheme == "tel" {
		return u.TelNumber(), u.phoneContext()
	}
	s := strings.TrimPrefix(u.Opaque, "//")
	at := strings.IndexByte(s, '@')
	if at < 0 {
		return "", ""
	}
	if end := strings.IndexAny(s[at:], "/;?#"); end >= 0 { // the user may have them
		s = s[:at+end]
	}
	at = strings.LastIndexByte(s, '@')
	host, _, err := ParseHostPort(s[at+1:])
	if err != nil {
		return "", ""
	}
	user, _, _ = strings.Cut(s[:at], ":")
	if checkEscapes(user) != nil {
		user = ""
	}
	return user, host
}

// TelNumber returns the number of a tel URI without visual separators (RFC 3966 section
// 5.1.1), "" for other URIs.
func (u URI) TelNumber() string {
	if u.Scheme != "tel" {
		return ""
	}
	number, _, _ := strings.Cut(u.Opaque, ";")
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.()", r) {
			return -1
		}
		return r
	}, number)
}

// phoneContext returns the phone-context of a tel URI, "" if there is none.
func (u URI) phoneContext() string {
	_, params, _ := strings.Cut(u.Opaque, ";")
	for p := range strings.SplitSeq(params, ";") {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(name, "phone-context") {
			return value
		}
	}
	return ""
}

// Bare returns the URI without parameters and headers. A local telephone number keeps its
// context, which is a part of it (RFC 3966 section 5.1.5).
func (u URI) Bare() URI {
	u.Params, u.Header = nil, ""
	switch {
	case u.IsSIP():
	case u.Scheme == "tel":
		context := u.phoneContext()
		u.Opaque, _, _ = strings.Cut(u.Opaque, ";")
		if context != "" {
			u.Opaque += ";phone-context=" + context
		}
	default:
		u.Opaque, _, _ = strings.Cut(u.Opaque, "?")
	}
	return u
}
