package silo

import (
	"slices"
	"strings"
	"time"

	"silod/sip"
)

// Internal header fields hold what the columns of Kamailio's table cannot. They are
// added when a message is stored and removed when it is delivered. Those in a received
// message are removed, so that a sender cannot set them.
const (
	fieldSafetyCopy = "X-Silod-Passing"  // see Incoming.SafetyCopy
	fieldReminder   = "X-Silod-Reminder" // the message was a reminder, due at this time
	fieldUnverified = "X-Silod-Untold"   // the sender is not verified and gets no notification
)

var internalFields = [...]string{fieldSafetyCopy, fieldReminder, fieldUnverified}

func isInternal(h sip.Header) bool {
	return slices.ContainsFunc(internalFields[:], func(name string) bool { return strings.EqualFold(h.Name, name) })
}

// withoutInternal returns the fields that are not internal. It does not change hs.
func withoutInternal(hs []sip.Header) []sip.Header {
	if !slices.ContainsFunc(hs, isInternal) {
		return hs
	}
	return slices.DeleteFunc(slices.Clone(hs), isInternal)
}

// addField returns hs with one more field. It does not change hs.
func addField(hs []sip.Header, name, value string) []sip.Header {
	return append(slices.Clip(hs), sip.Header{Name: name, Value: value})
}

// takeInternal removes the internal header fields of a stored message, sets the members
// of m that they stand for, and reports whether m is a safety copy.
func (m *Message) takeInternal() (safetyCopy bool) {
	safetyCopy = m.Header(fieldSafetyCopy) != ""
	m.senderUnverified = m.senderUnverified || m.Header(fieldUnverified) != ""
	if at, err := time.Parse(time.RFC3339, m.Header(fieldReminder)); err == nil {
		m.SendAt = at
	}
	m.Headers = withoutInternal(m.Headers)
	return safetyCopy
}

// addMissing returns hs with those fields of more that have a name that no field of hs
// has. It does not change hs.
func addMissing(hs, more []sip.Header) []sip.Header {
	hs = slices.Clip(hs)
	for _, h := range more {
		if !slices.ContainsFunc(hs, func(x sip.Header) bool { return strings.EqualFold(x.Name, h.Name) }) {
			hs = append(hs, h)
		}
	}
	return hs
}

// parseFields parses header lines, which may come from any client. It skips malformed
// lines, and the internal and reserved fields.
func parseFields(text string) []sip.Header {
	var hs []sip.Header
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		h := sip.Header{Name: strings.TrimRight(name, " \t"), Value: strings.TrimSpace(value)}
		if !ok || !sip.IsToken(h.Name) || h.Value == "" || strings.ContainsFunc(h.Value, isControl) ||
			isInternal(h) || reserved[strings.ToLower(h.Name)] {
			continue
		}
		hs = append(hs, h)
	}
	return hs
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// reserved are the names, in lower case, of the fields that only the sender or a hop
// may set.
var reserved = func() map[string]bool {
	m := make(map[string]bool)
	for name := range strings.FieldsSeq(`via v from f to t call-id i cseq max-forwards route record-route path
		content-length l content-type c content-encoding e contact m authorization proxy-authorization
		proxy-require require`) {
		m[name] = true
	}
	return m
}()
