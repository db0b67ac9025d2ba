package sip

import "strings"

// The functions of this file read values that are not well-formed but have only one meaning.
// RFC 4475 section 3.1.2 allows to accept such values and forbids to send them on, so each
// reports that String returns a corrected value.

// parseParty parses the value of a From or To header field. Besides the values of
// ParseNameAddr it accepts an unquoted display name with a comma, and the URIs that mendURI
// corrects.
func parseParty(s string) (NameAddr, error) {
	a, err := ParseNameAddr(s)
	if err == nil {
		return a, nil
	}
	if mended, ok := mendParty(s); ok {
		return mended, nil
	}
	return a, err
}

// mendParty parses a value that ParseNameAddr does not accept. ok is false if it has no meaning,
// or more than one.
func mendParty(s string) (a NameAddr, ok bool) {
	a.Mended = true
	lt, gt := strings.IndexByte(s, '<'), strings.LastIndexByte(s, '>')
	var uri, rest string
	switch {
	case strings.HasPrefix(s, `"`):
		var err error
		if a.Name, s, err = parseQuoted(s); err != nil || !strings.HasPrefix(trimLeft(s), "<") {
			return a, false
		}
		uri, rest, ok = strings.Cut(trimLeft(s)[1:], ">")
	case lt >= 0 && lt < gt:
		a.Name = trim(s[:lt])
		// With a semicolon, or a URI before a comma, these may be two values.
		if !isDisplayText(a.Name) || strings.Contains(a.Name, ";") || strings.Contains(a.Name, ",") && strings.Contains(a.Name, ":") {
			return a, false
		}
		uri, rest, ok = strings.Cut(s[lt+1:], ">")
	default:
		end := strings.IndexAny(s, ";, \t")
		if end < 0 {
			end = len(s)
		}
		uri, rest, ok = s[:end], s[end:], true
	}
	if !ok {
		return a, false
	}
	var err error
	if a.URI, err = ParseURI(mendAddress(uri)); err != nil {
		return a, false
	}
	a.Params, err = ParseParams(rest)
	return a, err == nil
}

// isDisplayText reports whether s can be a display name without its quotes.
func isDisplayText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// mendAddress returns an address of a sender or recipient as ParseURI accepts it. A missing
// scheme is added. An empty user part (gateways write it for anonymous calls), the port 0 and
// the zone of an IPv6 address, which has a meaning only at the sender, are removed.
func mendAddress(s string) string {
	s = trim(s)
	if i := strings.IndexAny(s, ":@"); i > 0 && s[i] == '@' {
		s = "sip:" + s
	}
	scheme, user, host, tail, ok := splitSIP(s)
	if !ok {
		return s
	}
	if user == "@" {
		user = ""
	}
	if zone := strings.IndexByte(host, '%'); zone > 0 && host[0] == '[' {
		if end := strings.IndexByte(host, ']'); end > zone {
			host = host[:zone] + host[end:]
		}
	}
	host = strings.TrimSuffix(host, ":0")
	return mendURI(scheme + user + host + tail)
}

// mendURI returns a URI as ParseURI accepts it: without empty parameters and without a colon
// that no port follows.
func mendURI(s string) string {
	scheme, user, host, tail, ok := splitSIP(s)
	if !ok {
		return s
	}
	params, headers, found := strings.Cut(tail, "?")
	for strings.Contains(params, ";;") {
		params = strings.ReplaceAll(params, ";;", ";")
	}
	params = strings.TrimSuffix(params, ";")
	if found && headers != "" {
		params += "?" + headers
	}
	return scheme + user + strings.TrimSuffix(host, ":") + params
}

// splitSIP splits a SIP URI into "sip:", "user@", "host:port" and the parameters and headers
// behind them. ok is false if it is none.
func splitSIP(s string) (scheme, user, host, tail string, ok bool) {
	colon := strings.IndexByte(s, ':')
	if colon < 0 || !(URI{Scheme: lower(s[:colon])}).IsSIP() {
		return "", "", "", "", false
	}
	scheme, host = s[:colon+1], s[colon+1:]
	if at := strings.LastIndexByte(beforeHeaders(host), '@'); at >= 0 {
		user, host = host[:at+1], host[at+1:]
	}
	if end := strings.IndexAny(host, ";?"); end >= 0 {
		host, tail = host[:end], host[end:]
	}
	return scheme, user, host, tail, true
}

// parseTarget parses a Request-URI. mended reports that the URI was corrected.
func parseTarget(s string) (u URI, mended bool, err error) {
	if u, err = ParseURI(s); err == nil {
		return u, false, nil
	}
	if u, merr := ParseURI(mendURI(s)); merr == nil {
		return u, true, nil
	}
	return u, false, err
}

// parseSentBy parses the sent-by of a Via. Host names of phones have characters that those of
// servers do not, IPv6 addresses have zones, and some ports are 0: all of that has a meaning
// only at the sender, and the source address is used instead.
func parseSentBy(s string) (host string, port uint16, err error) {
	host, port, err = ParseHostPort(s)
	if err == nil || s == "" || strings.ContainsAny(s, " \t\"<>,;@") || hasControl(s) {
		return host, port, err
	}
	name, digits := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		name, digits = s[:i], s[i+1:]
	}
	if name == "" || name[0] != '[' && strings.Contains(name, ":") || strings.Trim(digits, "0123456789") != "" {
		return "", 0, err
	}
	return "", 0, nil
}
