package sip

import (
	"strconv"
	"strings"
)

// A Message is a SIP request or response: start line, header fields in order, body. A Via,
// Route, Record-Route or Path field has one value.
type Message struct {
	Method string // of a request, case-sensitive (RFC 3261 section 7.1); "" in a response
	URI    string // Request-URI as received; "" in a response
	Status int    // of a response; 0 in a request
	Reason string

	Headers []Header
	Body    []byte
}

// Get returns the value of the first header field with a canonical name, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return m.Headers[i].Value
		}
	}
	return ""
}

// Has reports whether there is a header field with a canonical name.
func (m *Message) Has(name string) bool {
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			return true
		}
	}
	return false
}

// Values returns the values of all header fields with a canonical name.
func (m *Message) Values(name string) []string {
	var vs []string
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			vs = append(vs, m.Headers[i].Value)
		}
	}
	return vs
}

// count returns the number of header fields with a canonical name.
func (m *Message) count(name string) int {
	n := 0
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			n++
		}
	}
	return n
}

// Tokens returns the comma-separated tokens of all header fields with a canonical name, such
// as the option tags of Require and Supported, or the methods of Allow.
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

// CSeq returns the sequence number and method of the CSeq header field. ok is false if it is
// missing or malformed.
func (m *Message) CSeq() (n uint32, method string, ok bool) { return parseCSeq(m.Get("CSeq")) }

func parseCSeq(value string) (n uint32, method string, ok bool) {
	num, method, ok := cutSpace(value)
	v, err := strconv.ParseUint(num, 10, 32)
	// RFC 3261 section 8.1.1.5: less than 2**31.
	return uint32(v), method, ok && err == nil && v < 1<<31
}

// AppendTo appends the encoded message to b. It adds a Content-Length for the body, and
// omits one in Headers. In values it replaces line breaks, which could add a header field,
// by spaces, and also NULs outside quoted pairs.
func (m *Message) AppendTo(b []byte) []byte { return m.AppendWithVia(b, "") }

// AppendWithVia is AppendTo with an additional first Via, unless via is "".
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

// AppendStatusLine appends the status line of a response to b.
func AppendStatusLine(b []byte, status int, reason string) []byte {
	b = append(b, "SIP/2.0 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = appendClean(b, reason)
	return append(b, '\r', '\n')
}

// AppendBody appends Content-Length, the empty line and the body to b.
func AppendBody(b, body []byte) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(len(body)), 10)
	b = append(b, "\r\n\r\n"...)
	return append(b, body...)
}

// AppendHeader appends one header field to b, with the replacements of AppendTo.
func AppendHeader(b []byte, name, value string) []byte {
	b = appendClean(b, name)
	b = append(b, ':', ' ')
	b = appendClean(b, value)
	return append(b, '\r', '\n')
}

// appendClean appends s to b, with the replacements of AppendTo.
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

// Size returns the approximate size in bytes of the encoded message with our Via.
func (m *Message) Size() int {
	n := 200 + len(m.Method) + len(m.URI) + len(m.Body)
	for i := range m.Headers {
		n += m.Headers[i].Size()
	}
	return n
}
