package sip

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
)

// A ParseError is the error of a message that is SIP but malformed. Where enough of it
// was read to send an answer, the answer has this status and reason.
type ParseError struct {
	Status  int
	Reason  string
	Framing bool // on a stream, the beginning of the next message is unknown
}

func (e *ParseError) Error() string { return strconv.Itoa(e.Status) + " " + e.Reason }

// ErrNotSIP is the error of bytes that get no answer: noise, other protocols.
var ErrNotSIP = errors.New("not SIP")

func malformed(reason string) error { return &ParseError{Status: 400, Reason: reason} }

func misframed(reason string) error { return &ParseError{Status: 400, Reason: reason, Framing: true} }

// Parse reads one message from a datagram, or from the bytes that a Framer has cut off a
// stream. It keeps no reference to raw. The error is ErrNotSIP, then without a message,
// or a *ParseError, then with as much of the message as could be read.
//
// It is not sipgo's parser, for reasons that are measured in docs/architecture.md:
// values come out as they were written, a bad header field gets a 400 instead of
// silence, and it takes a third of the time.
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
		err = lerr // before all other errors: the next bytes cannot be told
	}
	if len(m.Body) > 0 {
		m.Body = bytes.Clone(m.Body)
	}
	return m, err
}

// headerEnd returns the index behind the empty line that ends a header, or -1. The bytes
// before from are known not to hold it. A line feed alone is taken for a line end: some
// clients write it, and it can mean nothing else.
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

func nextLine(s string) (line, rest string) {
	line, rest, ended := strings.Cut(s, "\n")
	if !ended {
		return s, ""
	}
	return strings.TrimSuffix(line, "\r"), rest
}

// parseStartLine reads the first line. A line that ends in a SIP version, or
// starts with one, is SIP and gets an answer whatever else is wrong with it.
func parseStartLine(m *Message, line string) error {
	if len(line) >= 4 && strings.EqualFold(line[:4], "SIP/") {
		return parseStatusLine(m, line)
	}
	i := strings.LastIndexByte(strings.TrimRight(line, " \t"), ' ')
	version := strings.TrimSpace(line[i+1:])
	if i <= 0 || len(version) < 4 || !strings.EqualFold(version[:4], "SIP/") {
		return ErrNotSIP
	}
	var ok bool
	m.Method, m.URI, ok = strings.Cut(line[:i], " ")
	m.URI = strings.TrimSpace(m.URI)
	switch {
	case !isName(m.Method):
		m.Method = "" // nothing that could be answered or named
		return ErrNotSIP
	case !strings.EqualFold(version, "SIP/2.0"):
		return &ParseError{Status: 505, Reason: "Version Not Supported, SIP/2.0 is"}
	case !ok || m.URI == "" || len(line) != len(m.Method)+len(m.URI)+len(version)+2 || strings.ContainsAny(m.URI, " \t\r\x00"):
		return malformed("Bad request line")
	}
	return nil
}

func parseStatusLine(m *Message, line string) error {
	version, rest, _ := strings.Cut(line, " ")
	code, reason, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(code)
	if !strings.EqualFold(version, "SIP/2.0") || err != nil || len(code) != 3 || n < 100 || n > 699 {
		return ErrNotSIP // a response is never answered
	}
	m.Status, m.Reason = n, reason
	return nil
}

// nextField cuts one header field off, its continuation lines joined (RFC 3261
// section 7.3.1).
func nextField(s string) (field, rest string) {
	line, s := nextLine(s)
	if s == "" || !isBlank(s[0]) {
		return line, s
	}
	var b strings.Builder // there may be a great many lines
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

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// parseHeaders reads the header fields. It goes on after a bad one, because the answer
// needs the Via.
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
		if !isName(name) {
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

// hasControl reports whether a value holds a character that could be taken for the end
// of a line or of the text: a carriage return, or a NUL outside of a quoted pair (RFC
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

// pairs follows the characters of a header value and finds those that are the second
// half of a quoted pair, which exists in a quoted string only.
type pairs struct{ quoted, pair bool }

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

// add appends a header field, the values of a list header one by one.
func (m *Message) add(name, value string) {
	if isListHeader(name) {
		for {
			i := topComma(value)
			if i < 0 {
				break
			}
			m.Headers = append(m.Headers, Header{Name: name, Value: strings.TrimRight(value[:i], " \t")})
			value = strings.TrimLeft(value[i+1:], " \t")
		}
	}
	m.Headers = append(m.Headers, Header{Name: name, Value: value})
}

// topComma returns the index of the first comma outside quotes and angle brackets, or -1.
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

// fitBody compares the body with Content-Length (RFC 3261 section 18.3): bytes of a
// datagram beyond it are dropped, too few are an error.
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

// ErrShort is the error of a body that is shorter than its Content-Length.
var ErrShort = misframed("Content-Length is larger than the body")

// contentLength returns -1 where there is none. Two that differ are an error.
func (m *Message) contentLength() (int, error) {
	n := -1
	for i := range m.Headers {
		if m.Headers[i].Name != "Content-Length" {
			continue
		}
		v, err := strconv.ParseUint(m.Headers[i].Value, 10, 31)
		if err != nil {
			return -1, misframed("Bad Content-Length")
		}
		if n >= 0 && n != int(v) {
			return -1, misframed("Two Content-Length headers differ")
		}
		n = int(v)
	}
	return n, nil
}

// nameChars are those of a token (RFC 3261 section 25.1) and, as some methods and
// header names in the wild have them, all other visible ones that part nothing.
var nameChars = func() (t [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		t[c] = !strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	}
	return t
}()

func isName(s string) bool {
	for i := range len(s) {
		if !nameChars[s[i]] {
			return false
		}
	}
	return s != ""
}
