package sip

import "strings"

// RequestURI returns a URI as a Request-URI, without the header fields and the parameter
// method, which a contact may have, and a request may not (RFC 3261 sections 16.6 and 19.1.1).
func RequestURI(s string) string {
	if strings.IndexByte(s, '?') < 0 && !mentionsMethod(s) {
		return s
	}
	u, err := ParseURI(s)
	if err != nil || !u.IsSIP() {
		return s
	}
	u.Header = ""
	u.Params = u.Params.Without("method")
	return u.String()
}

// mentionsMethod reports whether a URI may have the parameter method.
func mentionsMethod(s string) bool {
	const name = "method"
	for {
		i := strings.IndexByte(s, ';')
		if i < 0 || len(s)-i <= len(name) {
			return false
		}
		if s = s[i+1:]; strings.EqualFold(s[:len(name)], name) {
			return true
		}
	}
}
