package sip

import "strings"

// A Header is a header field. Name has the form that CanonicalName returns. Value is as
// received.
type Header struct{ Name, Value string }

// Size returns the size in bytes of the encoded field.
func (h *Header) Size() int { return len(h.Name) + len(": \r\n") + len(h.Value) }

// knownNames are the names of header fields that CanonicalName converts to this form, so
// that they can be compared with ==.
var knownNames = []string{
	"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length", "Content-Type",
	"Contact", "Route", "Record-Route", "Path", "Expires", "Allow", "Supported", "Require",
	"Proxy-Require", "Authorization", "Proxy-Authorization", "WWW-Authenticate",
	"Proxy-Authenticate", "Subject", "Date", "Priority", "Organization", "User-Agent", "Server",
	"Accept", "Accept-Encoding", "Accept-Language", "Content-Encoding", "Content-Language",
	"Content-Disposition", "MIME-Version", "Event", "Min-Expires", "Unsupported", "Retry-After",
	"Warning", "Error-Info", "Reply-To", "In-Reply-To", "Timestamp", "Refer-To", "Referred-By",
	"P-Asserted-Identity", "P-Preferred-Identity", "Privacy", "Service-Route", "Flow-Timer",
	"Allow-Events", "Session-Expires", "Max-Breadth", "Loop-Mark", "Reason", "Geolocation",
}

// compactNames are the names of the one-letter forms (RFC 3261 section 20 and the IANA
// registry).
var compactNames = [26]string{
	'c' - 'a': "Content-Type", 'e' - 'a': "Content-Encoding", 'f' - 'a': "From", 'i' - 'a': "Call-ID",
	'k' - 'a': "Supported", 'l' - 'a': "Content-Length", 'm' - 'a': "Contact", 'o' - 'a': "Event",
	'r' - 'a': "Refer-To", 's' - 'a': "Subject", 't' - 'a': "To", 'u' - 'a': "Allow-Events",
	'v' - 'a': "Via", 'x' - 'a': "Session-Expires", 'b' - 'a': "Referred-By",
}

// byLength contains the known names by their length, so that a received name is compared
// with few of them.
var byLength = func() [32][]string {
	var t [32][]string
	for _, n := range knownNames {
		t[len(n)] = append(t[len(n)], n)
	}
	return t
}()

// CanonicalName returns the canonical form of a header name, which Message.Get expects. An
// unknown name is returned unchanged.
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

// isListHeader reports whether the parser splits a header field at its commas, so that each
// value is a Header: proxies add and remove single values of these.
func isListHeader(name string) bool {
	return name == "Via" || name == "Route" || name == "Record-Route" || name == "Path"
}
