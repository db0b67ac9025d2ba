package silo

import (
	"slices"
	"strings"
	"time"

	"silod/sip"
)

// Marks are header fields in which a row says about itself what no column of
// Kamailio's can. They are taken off when the message is delivered, and those that
// a stranger sent when it comes in.
const (
	markSafetyCopy = "X-Silod-Passing"  // stored for safety only, see Incoming
	markReminder   = "X-Silod-Reminder" // was a reminder; its hour
	markUnverified = "X-Silod-Untold"   // its sender is not known for sure, and is told nothing
)

func isMark(h sip.Header) bool {
	return strings.EqualFold(h.Name, markSafetyCopy) || strings.EqualFold(h.Name, markReminder) || strings.EqualFold(h.Name, markUnverified)
}

// unmarked gives the fields without marks. The slice that was given stays as it is.
func unmarked(hs []sip.Header) []sip.Header {
	if !slices.ContainsFunc(hs, isMark) {
		return hs
	}
	return slices.DeleteFunc(slices.Clone(hs), isMark)
}

func mark(hs []sip.Header, name, value string) []sip.Header {
	return append(slices.Clip(hs), sip.Header{Name: name, Value: value})
}

// unmark takes the marks off a message that was stored, and what they say into it.
func (m *Message) unmark() (passing bool) {
	passing = m.Header(markSafetyCopy) != ""
	m.senderUnverified = m.senderUnverified || m.Header(markUnverified) != ""
	if at, err := time.Parse(time.RFC3339, m.Header(markReminder)); err == nil {
		m.SendAt = at
	}
	m.Headers = unmarked(m.Headers)
	return passing
}

// addFields adds those fields that a message does not have: what its sender wrote
// stays, and nothing is added twice.
func addFields(hs, more []sip.Header) []sip.Header {
	hs = slices.Clip(hs)
	for _, h := range more {
		if !slices.ContainsFunc(hs, func(x sip.Header) bool { return strings.EqualFold(x.Name, h.Name) }) {
			hs = append(hs, h)
		}
	}
	return hs
}

// parseFields reads header lines. Their text may come from anybody: lines that
// cannot be read, marks, and the fields that a message has from its hop or from
// its own sender are passed over.
func parseFields(text string) []sip.Header {
	var hs []sip.Header
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(line, ":")
		h := sip.Header{Name: strings.TrimRight(name, " \t"), Value: strings.TrimSpace(value)}
		if !ok || !sip.IsToken(h.Name) || h.Value == "" || strings.ContainsFunc(h.Value, isControl) ||
			isMark(h) || notOurs[strings.ToLower(h.Name)] {
			continue
		}
		hs = append(hs, h)
	}
	return hs
}

func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// notOurs are the fields that are not added to somebody's message.
var notOurs = func() map[string]bool {
	m := make(map[string]bool)
	for name := range strings.FieldsSeq(`via v from f to t call-id i cseq max-forwards route record-route path
		content-length l content-type c content-encoding e contact m authorization proxy-authorization
		proxy-require require`) {
		m[name] = true
	}
	return m
}()
