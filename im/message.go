// Package im defines the instant message as it goes from end to end: the message
// itself, its media type and encoding, CPIM (RFC 3862) and disposition notifications
// (RFC 5438). The package does no I/O.
package im

import "silod/sip"

// A Message is an instant message as its sender wrote it: the parts that are
// delivered unchanged. The header fields of a single hop, such as Via, Route and
// Max-Forwards, are not part of it.
type Message struct {
	From    string // header value, with display name and tag
	To      string // header value
	CallID  string
	CSeq    uint32
	Headers []sip.Header // the other end-to-end header fields in order, with Content-Type
	Body    []byte
}

// DateLayout is the layout of SIP-date, the value of Date (RFC 3261 section 20.17), for
// Time.Format of a time in UTC.
const DateLayout = "Mon, 02 Jan 2006 15:04:05 GMT"

// Header returns the value of the first header field with a name, or "". Names are not
// case-sensitive; a compact form is another name, but package sip expands those that it parses.
func (m *Message) Header(name string) string {
	for i := range m.Headers {
		if equalFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// equalFold compares header names, which are ASCII, without regard to case.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

// All returns the values of all header fields with a name, separated by commas.
func (m *Message) All(name string) string {
	all := ""
	for i := range m.Headers {
		if !equalFold(m.Headers[i].Name, name) {
			continue
		}
		if all != "" {
			all += ","
		}
		all += m.Headers[i].Value
	}
	return all
}
