package sip

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// A ParseError is the error for a malformed SIP message. It contains the status and reason
// of the answer.
type ParseError struct {
	Status  int
	Reason  string
	Framing bool // the start of the next message of a stream is unknown
}

func (e *ParseError) Error() string { return strconv.Itoa(e.Status) + " " + e.Reason }

// ErrNotSIP is the error for bytes that are not a SIP message, or cannot be answered.
var ErrNotSIP = errors.New("not SIP")

func malformed(reason string) error { return &ParseError{Status: 400, Reason: reason} }

// malformedBecause is malformed with the text of an error, which may be nil.
func malformedBecause(reason string, err error) error {
	if err != nil {
		reason += ", " + err.Error()
	}
	return malformed(reason)
}

func misframed(reason string) error { return &ParseError{Status: 400, Reason: reason, Framing: true} }

// Parse parses one message: a datagram, or the bytes that a Framer returned from a stream.
// The message does not refer to raw. If the error is ErrNotSIP, there is no message. If it
// is a *ParseError, the message contains the parts that could be parsed. For a response that is
// no error: a device that has answered must not get the message again because of a malformed
// header field.
//
// sipgo's parser is not used, for reasons that docs/architecture.md explains: this one keeps
// values as they were written, allows answering malformed header fields with 400, and takes
// a third of the time.
func Parse(raw []byte, stream bool) (*Message, error) {
	head, body := raw, []byte(nil)
	if end := headerEnd(raw, 0); end >= 0 {
		head, body = raw[:end], raw[end:]
	}
	line, rest := nextLine(string(head))
	m := &Message{Headers: make([]Header, 0, 16)}
	first := parseStartLine(m, line)
	if errors.Is(first, ErrNotSIP) {
		return nil, ErrNotSIP
	}
	err := m.parseHeaders(rest)
	if first != nil {
		err = first
	}
	if body == nil && err == nil {
		err = misframed("No empty line behind the header")
	}
	m.Body = body
	if lerr := m.fitBody(stream); lerr != nil {
		err = lerr // takes precedence, because it ends a stream
	}
	if len(m.Body) > 0 {
		m.Body = bytes.Clone(m.Body)
	}
	if bad, ok := errors.AsType[*ParseError](err); ok && m.Status != 0 && (!bad.Framing || !stream) {
		err = nil
	}
	return m, err
}

// headerEnd returns the index of the first byte after the empty line that ends a header, or
// -1. The bytes before from are known not to contain it. A line feed without a carriage
// return is accepted as a line end, because some clients write it and it has no other
// meaning.
func headerEnd(raw []byte, from int) int {
	for i := max(0, from-len("\n\r")); ; {
		n := bytes.IndexByte(raw[i:], '\n')
		if n < 0 {
			return -1
		}
		i += n + 1
		switch {
		case i < len(raw) && raw[i] == '\n':
			return i + 1
		case i+1 < len(raw) && raw[i] == '\r' && raw[i+1] == '\n':
			return i + 2
		}
	}
}

// nextLine returns the first line of s without its line end, and the rest.
func nextLine(s string) (line, rest string) {
	line, rest, ended := strings.Cut(s, "\n")
	if !ended {
		return s, ""
	}
	return strings.TrimSuffix(line, "\r"), rest
}

// parseStartLine parses the first line. A line that starts or ends with a SIP version is a
// SIP message, and so is one of a method and a SIP URI. If a request line has other errors, it
// is answered. White space around its parts is ignored (RFC 4475 sections 3.1.2.9 and 3.1.2.10).
func parseStartLine(m *Message, line string) error {
	line = trim(line)
	if isVersion(line) {
		return parseStatusLine(m, line)
	}
	method, uri, ok := cutSpace(line)
	if !ok {
		return ErrNotSIP
	}
	end := strings.LastIndexAny(uri, " \t") + 1
	version := uri[end:]
	m.URI = trim(uri[:end])
	switch {
	case !isVersion(version) && !strings.HasPrefix(lower(uri), "sip"):
		return ErrNotSIP
	case !IsName(method):
		return malformed("Bad method")
	}
	m.Method = canonicalMethod(method)
	switch {
	case !isVersion(version):
		return malformed("Bad request line, SIP/2.0 is missing")
	case !strings.EqualFold(version, "SIP/2.0"):
		return &ParseError{Status: 505, Reason: "Version Not Supported, SIP/2.0 is"}
	case m.URI == "" || strings.ContainsAny(m.URI, " \t\r\x00"):
		return malformed("Bad request line")
	}
	return nil
}

// isVersion reports whether s starts with a SIP version.
func isVersion(s string) bool { return len(s) >= 4 && strings.EqualFold(s[:4], "SIP/") }

// canonicalMethod returns the name of a method of this server in upper case. Methods are
// case-sensitive (RFC 3261 section 7.1), but no other one is written like these.
func canonicalMethod(s string) string {
	for _, known := range [...]string{"MESSAGE", "REGISTER", "OPTIONS"} {
		if len(s) == len(known) && strings.EqualFold(s, known) {
			return known
		}
	}
	return s
}

func parseStatusLine(m *Message, line string) error {
	version, rest, _ := cutSpace(line)
	code, reason, _ := cutSpace(rest)
	n, err := strconv.Atoi(code)
	if !strings.EqualFold(version, "SIP/2.0") || err != nil || len(code) != 3 || n < 100 || n > 699 {
		return ErrNotSIP // responses are not answered
	}
	m.Status, m.Reason = n, reason
	return nil
}

// nextField returns the first header field of s, with its continuation lines joined (RFC
// 3261 section 7.3.1), and the rest.
func nextField(s string) (field, rest string) {
	line, s := nextLine(s)
	if s == "" || !isBlank(s[0]) {
		return line, s
	}
	var b strings.Builder // because there may be thousands of lines
	b.WriteString(strings.TrimRight(line, " \t"))
	for s != "" && isBlank(s[0]) {
		line, s = nextLine(s)
		if line = strings.Trim(line, " \t"); line != "" {
			b.WriteByte(' ')
			b.WriteString(line)
		}
	}
	return b.String(), s
}

// parseHeaders parses the header fields. It continues after a bad one, because the answer
// needs the Via. It returns the last error.
func (m *Message) parseHeaders(s string) error {
	var bad error
	for s != "" {
		var line string
		if line, s = nextField(s); line == "" {
			break
		}
		colon := strings.IndexByte(line, ':')
		if colon < 0 {
			bad = malformed("Header line without a colon")
			continue
		}
		name := strings.TrimRight(line[:colon], " \t")
		value := trim(line[colon+1:])
		if !IsName(name) {
			bad = malformed("Bad header name")
			continue
		}
		if hasControl(value) {
			bad = malformed("Control character in header " + name)
			continue
		}
		m.add(CanonicalName(name), value)
	}
	return bad
}

// hasControl reports whether a value contains a character that other parsers may take for
// the end of a line or of a string: a carriage return, or a NUL outside a quoted pair (RFC
// 4475 section 3.1.1.2 has one inside).
func hasControl(s string) bool {
	if strings.IndexByte(s, '\r') >= 0 {
		return true
	}
	if strings.IndexByte(s, 0) < 0 {
		return false
	}
	var p pairs
	for i := range len(s) {
		if second := p.second(s[i]); s[i] == 0 && !second {
			return true
		}
	}
	return false
}

// pairs finds the quoted pairs of a header value, which occur only in quoted strings.
type pairs struct{ quoted, pair bool }

// second reports whether c is the second character of a quoted pair. It must be called for
// each character in order.
func (p *pairs) second(c byte) bool {
	second := p.pair
	switch {
	case second:
		p.pair = false
	case c == '"':
		p.quoted = !p.quoted
	default:
		p.pair = p.quoted && c == '\\'
	}
	return second
}

// add appends a header field. For a list header it appends one for each value that is not empty.
func (m *Message) add(name, value string) {
	if !isListHeader(name) {
		m.Headers = append(m.Headers, Header{Name: name, Value: value})
		return
	}
	for i := 0; i >= 0; {
		v := value
		if i = topComma(value); i >= 0 {
			v, value = strings.TrimRight(value[:i], " \t"), strings.TrimLeft(value[i+1:], " \t")
		}
		if v != "" {
			m.Headers = append(m.Headers, Header{Name: name, Value: v})
		}
	}
}

// topComma returns the index of the first comma outside quoted strings and angle brackets,
// or -1.
func topComma(s string) int {
	if strings.IndexByte(s, ',') < 0 {
		return -1
	}
	quoted, angle := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case c == ',' && !angle:
			return i
		}
	}
	return -1
}

// fitBody truncates the body to its Content-Length (RFC 3261 section 18.3). A body that is
// too short is an error. A missing Content-Length is one on a stream.
func (m *Message) fitBody(stream bool) error {
	n, err := m.contentLength()
	switch {
	case err != nil:
		return err
	case n < 0 && stream:
		return misframed("Content-Length is missing")
	case n < 0:
		return nil
	case n > len(m.Body):
		return ErrShort
	}
	m.Body = m.Body[:n]
	return nil
}

// ErrShort is the error for a body that is shorter than its Content-Length.
var ErrShort = misframed("Content-Length is larger than the body")

// contentLength returns the Content-Length, or -1 if there is none.
func (m *Message) contentLength() (int, error) {
	n := -1
	var err error
	for i := range m.Headers {
		if m.Headers[i].Name != "Content-Length" {
			continue
		}
		if n, err = addContentLength(n, m.Headers[i].Value); err != nil {
			return -1, err
		}
	}
	return n, nil
}

// addContentLength parses a Content-Length. It returns an error if that differs from n, the
// value of an earlier one or -1.
func addContentLength(n int, value string) (int, error) {
	v, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return -1, misframed("Bad Content-Length")
	}
	if n >= 0 && n != int(v) {
		return -1, misframed("Two Content-Length headers differ")
	}
	return int(v), nil
}
