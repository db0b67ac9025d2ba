package stack

import (
	"strconv"
	"strings"

	"silod/sip"
)

// Message is a SIP request or response as bytes say it: start line, header fields
// in order, body. Via, Route, Record-Route and Path fields hold one value each.
type Message struct {
	Method string // request; "" in a response. Case matters (RFC 3261 section 7.1)
	URI    string // Request-URI as written
	Status int    // response
	Reason string

	Headers []sip.Header
	Body    []byte
}

// Get gives the value of the first header of that canonical name, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value
		}
	}
	return ""
}

// Has tells whether there is a header of that canonical name.
func (m *Message) Has(name string) bool {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return true
		}
	}
	return false
}

// Values gives the values of all headers of that canonical name.
func (m *Message) Values(name string) []string {
	var vs []string
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			vs = append(vs, m.Headers[i].Value)
		}
	}
	return vs
}

// Tokens gives the comma-separated tokens of all headers of that name: the option
// tags of Require and Supported, the methods of Allow.
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

// CSeq gives the sequence number and method of the CSeq header.
func (m *Message) CSeq() (n uint32, method string, ok bool) { return parseCSeq(m.Get("CSeq")) }

func parseCSeq(value string) (n uint32, method string, ok bool) {
	num, method, ok := cutSpace(value)
	v, err := strconv.ParseUint(num, 10, 32)
	// RFC 3261 section 8.1.1.5: less than 2**31.
	return uint32(v), method, ok && err == nil && v < 1<<31
}

// AppendTo writes the message. Content-Length is always written from the body, as
// the last header; a Content-Length among the headers is passed over. Line breaks
// in values become spaces, so that no text can smuggle a header in, and so does
// NUL, but in a quoted pair.
func (m *Message) AppendTo(b []byte) []byte { return m.appendTo(b, "") }

// appendTo writes the message with one more Via on top, where via is not empty.
func (m *Message) appendTo(b []byte, via string) []byte {
	if m.Method != "" {
		b = appendClean(b, m.Method)
		b = append(b, ' ')
		b = appendClean(b, m.URI)
		b = append(b, " SIP/2.0\r\n"...)
	} else {
		b = appendStatusLine(b, m.Status, m.Reason)
	}
	if via != "" {
		b = appendHeader(b, "Via", via)
	}
	for i := range m.Headers {
		h := &m.Headers[i]
		if h.Name == "Content-Length" {
			continue
		}
		b = appendHeader(b, h.Name, h.Value)
	}
	return appendBody(b, m.Body)
}

func appendStatusLine(b []byte, status int, reason string) []byte {
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = appendClean(b, reason)
	return append(b, '\r', '\n')
}

// appendBody ends the header, and writes the body behind it.
func appendBody(b, body []byte) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

func appendHeader(b []byte, name, value string) []byte {
	b = appendClean(b, name)
	b = append(b, ':', ' ')
	b = appendClean(b, value)
	return append(b, '\r', '\n')
}

// appendClean appends text that stays on its line.
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

// Size is about how many bytes the message has when it is sent, our Via included.
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

func trimLeft(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

func trim(s string) string {
	for s != "" && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return trimLeft(s)
}
