package imc

import (
	"strings"

	"silod/im"
	"silod/sip"
)

// forwarded are the header fields of a sender's message that are sent to the members, besides
// those that begin with Content-. They are about the message. Fields about the sender, its
// device, its dialog or the time would be wrong in a message from the room, or name another
// sender than SpeakerField does.
var forwarded = []string{
	"Subject", "Priority", "Auto-Submitted", "MIME-Version", "Importance", "Sensitivity",
	"Message-Context", "Keywords",
}

// isForwarded reports whether a header field is sent to the members as it is. Those that
// describe the bytes of the body are not: the body may be another one.
func isForwarded(name string) bool {
	if len(name) > len("Content-") && strings.EqualFold(name[:len("Content-")], "Content-") {
		switch strings.ToLower(name) {
		case "content-type", "content-encoding", "content-transfer-encoding", "content-length", "content-md5", "content-digest",
			"content-from", "content-location", "content-base":
			return false
		}
		return true
	}
	for _, f := range forwarded {
		if strings.EqualFold(name, f) {
			return true
		}
	}
	return false
}

// postHeaders returns the header fields of a post with a content.
func postHeaders(e *Entry, sp *speaker, b body) []sip.Header {
	hs := make([]sip.Header, 0, 8)
	for _, h := range [...]sip.Header{
		{Name: "Content-Type", Value: b.contentType},
		{Name: "Content-Transfer-Encoding", Value: b.transfer},
		{Name: "Content-Encoding", Value: b.encoding},
	} {
		if h.Value != "" {
			hs = append(hs, h)
		}
	}
	for _, h := range e.Headers {
		if isForwarded(h.Name) {
			h.Value = printable(h.Value)
			hs = append(hs, h)
		}
	}
	hs = append(hs, sip.Header{Name: SpeakerField, Value: sp.field})
	if e.CallID != "" {
		hs = append(hs, sip.Header{Name: "In-Reply-To", Value: e.CallID})
	}
	// The time of the message, for members that get it later.
	return append(hs, sip.Header{Name: "Date", Value: e.At.UTC().Format(im.DateLayout)})
}
