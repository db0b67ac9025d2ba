// Package im is the instant message end to end: the message itself, its media
// type, CPIM (RFC 3862) and disposition notifications (RFC 5438). It does no I/O.
package im

import "silod/sip"

// Message is an instant message as its sender wrote it: what goes end to end and
// must come out as it went in. Via, Route, Max-Forwards and the like belong to a
// hop and are not here.
type Message struct {
	From    string // header value, with display name and tag
	To      string // header value
	CallID  string
	CSeq    uint32
	Headers []sip.Header // the other end-to-end headers in order, Content-Type among them
	Body    []byte
}

// Header returns the value of the first header field of a canonical name, or "".
func (m *Message) Header(name string) string {
	for i := range m.Headers {
		if equalFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

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
