package silo

import (
	"slices"
	"strings"
	"time"

	"silod/sip"
)

// Marks are header fields that hold what the columns of Kamailio's table cannot. They
// are added when a message is stored and removed when it is delivered. Marks in a
// received message are removed.
const (
	markSafetyCopy = "X-Silod-Passing"  // see Incoming.SafetyCopy
	markReminder   = "X-Silod-Reminder" // the message was a reminder, due at this time
	markUnverified = "X-Silod-Untold"   // the sender is not verified and gets no notification
)

func isMark(h sip.Header) bool {
	return strings.EqualFold(h.Name, markSafetyCopy) || strings.EqualFold(h.Name, markReminder) || strings.EqualFold(h.Name, markUnverified)
}

// withoutMarks returns the fields that are not marks. It does not change hs.
func withoutMarks(hs []sip.Header) []sip.Header {
	if !slices.ContainsFunc(hs, isMark) {
		return hs
	}
	return slices.DeleteFunc(slices.Clone(hs), isMark)
}

// addMark returns the fields with a mark. It does not change hs.
func addMark(hs []sip.Header, name, value string) []sip.Header {
	return append(slices.Clip(hs), sip.Header{Name: name, Value: value})
}

// readMarks moves the marks of a stored message into its fields of m, and reports
// whether it is a safety copy.
func (m *Message) readMarks() (safetyCopy bool) {
	safetyCopy = m.Header(markSafetyCopy) != ""
	m.senderUnverified = m.senderUnverified || m.Header(markUnverified) != ""
	if at, err := time.Parse(time.RFC3339, m.Header(markReminder)); err == nil {
		m.SendAt = at
	}
	m.Headers = withoutMarks(m.Headers)
	return safetyCopy
}

// addFields returns hs with the fields of more, except those with a name that is in hs
// already. It does not change hs.
func addFields(hs, more []sip.Header) []sip.Header {
	hs = slices.Clip(hs)
	for _, h := range more {
		if !slices.ContainsFunc(hs, func(x sip.Header) bool { return strings.EqualFold(x.Name, h.Name) }) {
			hs = append(hs, h)
		}
	}
	return hs
}

// parseFields parses header lines, which may come from any client. It skips malformed
// lines, marks, and the fields that only a hop or the sender may set.
func parseFields(text string) []sip.Header {
	var hs []sip.Header
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		h := sip.Header{Name: strings.TrimRight(name, " \t"), Value: strings.TrimSpace(value)}
		if !ok || !sip.IsToken(h.Name) || h.Value == "" || strings.ContainsFunc(h.Value, isControl) ||
			isMark(h) || reserved[strings.ToLower(h.Name)] {
			continue
		}
		hs = append(hs, h)
	}
	return hs
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// reserved are the fields that are not added to a message.
var reserved = func() map[string]bool {
	m := make(map[string]bool)
	for name := range strings.FieldsSeq(`via v from f to t call-id i cseq max-forwards route record-route path
		content-length l content-type c content-encoding e contact m authorization proxy-authorization
		proxy-require require`) {
		m[name] = true
	}
	return m
}()
