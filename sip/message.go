package sip

import (
	"strconv"
	"strings"
)

// A Message is a SIP request or response: start line, header fields in order, body.
// Via, Route, Record-Route and Path fields hold one value each.
type Message struct {
	Method string // request; "" in a response. Case matters (RFC 3261 section 7.1)
	URI    string // Request-URI as written
	Status int    // response
	Reason string

	Headers []Header
	Body    []byte
}

// Get returns the value of the first header field of a canonical name, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value
		}
	}
	return ""
}

// Has reports whether there is a header field of a canonical name.
func (m *Message) Has(name string) bool {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return true
		}
	}
	return false
}

// Values returns the values of all header fields of a canonical name.
func (m *Message) Values(name string) []string {
	var vs []string
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			vs = append(vs, m.Headers[i].Value)
		}
	}
	return vs
}

// Tokens returns the comma-separated tokens of all header fields of a canonical name:
// the option tags of Require and Supported, the methods of Allow.
func (m *Message) Tokens(name string) []string {
	var ts []string
	for i := range m.Headers {
		if m.Headers[i].Name != name {
			continue
		}
		for t := range strings.SplitSeq(m.Headers[i].Value, ",") {
			if t = strings.TrimSpace(t); t != "" {
				ts = append(ts, t)
			}
		}
	}
	return ts
}

// CSeq returns the sequence number and method of the CSeq header field.
func (m *Message) CSeq() (n uint32, method string, ok bool) { return parseCSeq(m.Get("CSeq")) }

func parseCSeq(value string) (n uint32, method string, ok bool) {
	num, method, ok := cutSpace(value)
	v, err := strconv.ParseUint(num, 10, 32)
	// RFC 3261 section 8.1.1.5: less than 2**31.
	return uint32(v), method, ok && err == nil && v < 1<<31
}

// AppendTo appends the message to b. Content-Length is always computed from the body and
// comes last; a Content-Length among the headers is left out. Line breaks in values
// become spaces, so that no value can add a header field, and so does a NUL outside of
// a quoted pair.
func (m *Message) AppendTo(b []byte) []byte { return m.AppendWithVia(b, "") }

// AppendWithVia is AppendTo with one more Via on top, unless via is "".
func (m *Message) AppendWithVia(b []byte, via string) []byte {
	if m.Method != "" {
		b = appendClean(b, m.Method)
		b = append(b, ' ')
		b = appendClean(b, m.URI)
		b = append(b, " SIP/2.0\r\n"...)
	} else {
		b = AppendStatusLine(b, m.Status, m.Reason)
	}
	if via != "" {
		b = AppendHeader(b, "Via", via)
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		if h.Name == "Content-Length" {
			continue
		}
		b = AppendHeader(b, h.Name, h.Value)
	}
	return AppendBody(b, m.Body)
}

// AppendStatusLine appends the first line of a response.
func AppendStatusLine(b []byte, status int, reason string) []byte {
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = appendClean(b, reason)
	return append(b, '\r', '\n')
}

// AppendBody appends Content-Length, the empty line and the body.
func AppendBody(b, body []byte) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// AppendHeader appends one header field. Line breaks in its value become spaces.
func AppendHeader(b []byte, name, value string) []byte {
	b = appendClean(b, name)
	b = append(b, ':', ' ')
	b = appendClean(b, value)
	return append(b, '\r', '\n')
}

// appendClean appends text, its line breaks replaced by spaces.
func appendClean(b []byte, s string) []byte {
	start := len(b)
	b = append(b, s...)
	if strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, 0) < 0 {
		return b
	}
	var p pairs
	for i := start; i < len(b); i++ {
		c := b[i]
		if second := p.second(c); c == '\r' || c == '\n' || c == 0 && !second {
			b[i] = ' '
		}
	}
	return b
}

// Size returns about how many bytes the message has when it is sent with a Via of ours.
func (m *Message) Size() int {
	n := 200 + len(m.Method) + len(m.URI) + len(m.Body)
	for i := range m.Headers {
		n += len(m.Headers[i].Name) + len(m.Headers[i].Value) + 4
	}
	return n
}

// cutSpace splits at the first run of white space.
func cutSpace(s string) (before, after string, ok bool) {
	for i := range len(s) {
		if isBlank(s[i]) {
			return s[:i], trimLeft(s[i:]), true
		}
	}
	return s, "", false
}

func trim(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return trimLeft(s)
}
