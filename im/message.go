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

// Header returns the value of the first header field with a canonical name, or "".
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
