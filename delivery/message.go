package delivery

import "time"

// Header is one header field, its value as it was written. It is an alias of
// the plain struct so that a []Header can be handed over between packages that
// do not know each other.
type Header = struct{ Name, Value string }

// Message is an instant message as its sender wrote it: what goes end to end and
// must come out as it went in. Via, Route, Max-Forwards and the like belong to a
// hop and are not here.
type Message struct {
	From    string // header value, with display name and tag
	To      string // header value
	CallID  string
	CSeq    uint32
	Headers []Header // the other end-to-end headers in order, Content-Type among them
	Body    []byte
}

// Header gives the value of the first header of that (canonical) name, or "".
func (m *Message) Header(name string) string {
	for i := range m.Headers {
		if equalFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// Item is a message that waits for its recipient in a Source.
type Item struct {
	Message
	Key     int64     // the Source's own; within one owner it rises with the order of delivery
	Expires time.Time // never delivered after this; zero for never
	Later   bool      // goes behind all that wait and are not Later, whatever its Key
	Contact string    // the URI that it is for; "" for whatever devices the owner has
	Row     any       // what the Source wants to find again in Settle
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
