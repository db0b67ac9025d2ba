package load

import (
	"bytes"
	"strconv"
)

// A Message is a request. The client adds Via, branch, From tag and Content-Length, and
// replaces zero values: CallID by a unique one, CSeq by 1.
type Message struct {
	Method   string
	URI      string // Request-URI
	From, To string // URIs
	CallID   string
	CSeq     int
	Contact  string // URI; "": none
	Body     []byte // text/plain
}

// branchCookie is the prefix of every branch (RFC 3261 section 8.1.1.7).
const branchCookie = "z9hG4bK"

// appendRequest appends m. The branch contains the slot and its count of requests, so that
// the request of a response is found without a table.
func (c *Client) appendRequest(b []byte, m *Message, slot int, count uint64) []byte {
	text := func(parts ...string) {
		for _, p := range parts {
			b = append(b, p...)
		}
	}
	number := func(n uint64) { b = strconv.AppendUint(b, n, 10) }
	id := func() {
		number(uint64(slot))
		b = append(b, '.')
		number(count)
		text(".", c.name)
	}
	text(m.Method, " ", m.URI, " SIP/2.0\r\nVia: SIP/2.0/", c.link.transport(), " ", c.addr, ";rport;branch=", branchCookie)
	id()
	text("\r\nMax-Forwards: 70\r\nFrom: <", m.From, ">;tag=")
	id()
	text("\r\nTo: <", m.To, ">\r\nCall-ID: ")
	if m.CallID != "" {
		text(m.CallID)
	} else {
		id()
	}
	text("\r\nCSeq: ")
	number(uint64(max(m.CSeq, 1)))
	text(" ", m.Method, "\r\n")
	if m.Contact != "" {
		text("Contact: <", m.Contact, ">\r\nExpires: 3600\r\n")
	}
	if len(m.Body) > 0 {
		text("Content-Type: text/plain\r\n")
	}
	text("Content-Length: ")
	number(uint64(len(m.Body)))
	text("\r\n\r\n")
	return append(b, m.Body...)
}

// A response is the status of a response and the slot and count of its request.
type response struct {
	status int
	slot   int
	count  uint64
}

const version = "SIP/2.0 "

// parseResponse parses the status, and the slot and count in the topmost branch (see
// appendRequest).
func parseResponse(raw []byte) (r response, ok bool) {
	if len(raw) < len(version)+3 {
		return r, false
	}
	status, err := strconv.Atoi(string(raw[len(version) : len(version)+3]))
	if err != nil || status < 100 || status > 699 {
		return r, false
	}
	r.status = status
	_, branch, ok := bytes.Cut(raw, []byte(branchCookie))
	if !ok {
		return r, false
	}
	slot, rest, ok := digits(branch)
	if !ok || len(rest) == 0 || rest[0] != '.' {
		return r, false
	}
	r.slot = int(slot)
	r.count, _, ok = digits(rest[1:])
	return r, ok
}

// digits parses the number at the beginning of b.
func digits(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

// A Request is a request that the server has sent to a client.
type Request struct {
	User   []byte // of the Request-URI
	Branch []byte // of the topmost Via
	Body   []byte
}

// readRequest parses a request and appends its 200 response (RFC 3261 section 8.2.6.2) to
// b.
func readRequest(raw, b []byte) (req Request, answer []byte, ok bool) {
	head, body, ok := bytes.Cut(raw, []byte("\r\n\r\n"))
	if !ok {
		return req, b, false
	}
	if i := bytes.Index(head, []byte(branchCookie)); i >= 0 {
		req.Branch = head[i:]
		if end := bytes.IndexAny(req.Branch, ";,\r \t"); end >= 0 {
			req.Branch = req.Branch[:end]
		}
	}
	line, lines, _ := bytes.Cut(head, []byte("\r\n"))
	if _, uri, found := bytes.Cut(line, []byte(" sip:")); found {
		req.User, _, _ = bytes.Cut(uri, []byte("@"))
	}
	req.Body = body
	b = append(b, "SIP/2.0 200 OK\r\n"...)
	for len(lines) > 0 {
		line, lines, _ = bytes.Cut(lines, []byte("\r\n"))
		switch {
		case named(line, "Via", "v"), named(line, "From", "f"), named(line, "Call-ID", "i"), named(line, "CSeq", ""):
			b = append(b, line...)
		case named(line, "To", "t"):
			b = append(b, line...)
			if !bytes.Contains(line, []byte("tag=")) {
				b = append(b, ";tag=bench"...)
			}
		default:
			continue
		}
		b = append(b, "\r\n"...)
	}
	return req, append(b, "Content-Length: 0\r\n\r\n"...), true
}

// named reports whether a header line has a name or its compact form.
func named(line []byte, name, compact string) bool {
	i := bytes.IndexByte(line, ':')
	if i <= 0 {
		return false
	}
	got := bytes.TrimRight(line[:i], " \t")
	return len(got) == len(name) && bytes.EqualFold(got, []byte(name)) ||
		compact != "" && len(got) == 1 && got[0]|0x20 == compact[0]
}

// header returns the value of the first header field with a name, nil if there is none.
func header(head []byte, name, compact string) []byte {
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		if named(line, name, compact) {
			return bytes.TrimSpace(line[bytes.IndexByte(line, ':')+1:])
		}
	}
	return nil
}
