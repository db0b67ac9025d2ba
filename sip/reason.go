package sip

// reasonPhrases are the standard phrases of RFC 3261 section 21 and its extensions.
var reasonPhrases = [700]string{
	100: "Trying", 200: "OK", 202: "Accepted",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
	405: "Method Not Allowed", 407: "Proxy Authentication Required", 408: "Request Timeout",
	413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type",
	416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
	423: "Interval Too Brief", 439: "First Hop Lacks Outbound Support",
	440: "Max-Breadth Exceeded", 480: "Temporarily Unavailable",
	481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops",
	486: "Busy Here", 489: "Bad Event", 493: "Undecipherable",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway",
	503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
	513: "Message Too Large", 603: "Decline", 606: "Not Acceptable",
}

// ReasonPhrase returns the standard phrase of a status code. For an unknown code it is that
// of the class (RFC 3261 section 8.1.3.2), for an unknown class "".
func ReasonPhrase(status int) string {
	if status < 0 || status >= len(reasonPhrases) {
		return ""
	}
	if p := reasonPhrases[status]; p != "" {
		return p
	}
	return reasonPhrases[status/100*100]
}

// ReasonForRooms is the reason phrase of the 482 with which a room rejects the text of another
// room, or a message that was sent to one of its members.
const ReasonForRooms = "Loop Detected, rooms accept messages from their senders only"
