package sip

import "strings"

// knownNames are the header names that the parser converts to this spelling, so that
// looking one up is a plain comparison.
var knownNames = []string{
	"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type",
	"Contact", "Route", "Record-Route", "Path", "Expires", "Allow", "Supported", "Require",
	"Proxy-Require", "Authorization", "Proxy-Authorization", "WWW-Authenticate",
	"Proxy-Authenticate", "Subject", "Date", "Priority", "Organization", "User-Agent", "Server",
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language",
	"Content-Disposition", "MIME-Version", "Event", "Min-Expires", "Unsupported", "Retry-After",
	"Warning", "Error-Info", "Reply-To", "In-Reply-To", "Timestamp", "Refer-To", "Referred-By",
	"P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Service-Route", "Flow-Timer",
	"Allow-Events", "Session-Expires", "Max-Breadth", "Reason", "Geolocation",
}

// compactNames are the one-letter forms (RFC 3261 section 20 and the IANA registry).
var compactNames = [26]string{
	'c' - 'a': "Content-Type", 'e' - 'a': "Content-Encoding", 'f' - 'a': "From", 'i' - 'a': "Call-ID",
	'k' - 'a': "Supported", 'l' - 'a': "Content-Length", 'm' - 'a': "Contact", 'o' - 'a': "Event",
	'r' - 'a': "Refer-To", 's' - 'a': "Subject", 't' - 'a': "To", 'u' - 'a': "Allow-Events",
	'v' - 'a': "Via", 'x' - 'a': "Session-Expires", 'b' - 'a': "Referred-By",
}

// byLength holds the known names by their length: a received name is compared with a
// few only.
var byLength = func() [32][]string {
	var t [32][]string
	for _, n := range knownNames {
		t[len(n)] = append(t[len(n)], n)
	}
	return t
}()

// CanonicalName returns a header name in the spelling that Message.Get expects.
func CanonicalName(name string) string {
	if len(name) == 1 {
		if c := name[0] | 0x20; c >= 'a' && c <= 'z' && compactNames[c-'a'] != "" {
			return compactNames[c-'a']
		}
		return name
	}
	if len(name) >= len(byLength) {
		return name
	}
	for _, n := range byLength[len(name)] {
		if n == name || strings.EqualFold(n, name) {
			return n
		}
	}
	return name
}

// isListHeader reports whether the parser splits a header field at its commas, one value
// a field: of these, values are removed and added on the way.
func isListHeader(name string) bool {
	return name == "Via" || name == "Route" || name == "Record-Route" || name == "Path"
}

// reasonPhrases are those of RFC 3261 section 21 and its extensions.
var reasonPhrases = [700]string{
	100: "Trying", 200: "OK", 202: "Accepted",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
	413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type",
	416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
	423: "Interval Too Brief", 439: "First Hop Lacks Outbound Support", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	486: "Busy Here", 489: "Bad Event", 493: "Undecipherable",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway",
	503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
	513: "Message Too Large", 603: "Decline", 606: "Not Acceptable",
}

// ReasonPhrase returns the standard phrase of a status code, "" for an unknown class.
func ReasonPhrase(status int) string {
	if status < 0 || status >= len(reasonPhrases) {
		return ""
	}
	if p := reasonPhrases[status]; p != "" {
		return p
	}
	return reasonPhrases[status/100*100]
}
