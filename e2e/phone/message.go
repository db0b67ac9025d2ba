package phone

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	sipgo "github.com/emiago/sipgo/sip"

	"silod/sip"
)

// A Header is one header field, with the unfolded value as it is on the wire.
type Header = sip.Header

// Headers are header fields in the order on the wire.
type Headers []Header

// Get returns the value of the first field with a name, long or compact, or "".
func (hs Headers) Get(name string) string {
	for _, h := range hs {
		if longName(h.Name) == longName(name) {
			return h.Value
		}
	}
	return ""
}

// All returns the values of all fields with a name, long or compact.
func (hs Headers) All(name string) []string {
	var values []string
	for _, h := range hs {
		if longName(h.Name) == longName(name) {
			values = append(values, h.Value)
		}
	}
	return values
}

// A Message is a request that arrived.
type Message struct {
	Method  string
	URI     string // the Request-URI
	From    sip.NameAddr
	To      sip.NameAddr
	CallID  string
	Headers Headers
	Body    []byte

	Raw    []byte         // all of it, as it arrived
	Source netip.AddrPort // its sender
	Local  netip.AddrPort // the address on which it arrived
	At     time.Time      // of its arrival

	flow *flow
	key  string // of its server transaction
}

// ContentType returns the value of Content-Type.
func (m *Message) ContentType() string { return m.Headers.Get("Content-Type") }

// Text returns the body.
func (m *Message) Text() string { return string(m.Body) }

// A Response is the final response to a request.
type Response struct {
	Code    int
	Reason  string
	CallID  string // of the request too
	Headers Headers
	Body    []byte
}

// String returns the status: "202 Accepted".
func (r *Response) String() string { return strings.TrimSpace(fmt.Sprint(r.Code, " ", r.Reason)) }

// OK reports whether the response is a 2xx.
func (r *Response) OK() bool { return r.Code/100 == 2 }

// newParser returns a parser that leaves header fields as they were written, but for
// Content-Length, which ends a message on a stream.
func newParser() *sipgo.Parser {
	all := sipgo.DefaultHeadersParser()
	p := sipgo.NewParser(sipgo.WithHeadersParsers(sipgo.HeadersParser{
		"content-length": all["content-length"],
		"l":              all["l"],
	}))
	p.MaxMessageLength = maxMessage
	return p
}

// headersOf returns the header fields of a parsed message.
func headersOf(m interface{ Headers() []sipgo.Header }) Headers {
	lines := m.Headers()
	hs := make(Headers, len(lines))
	for i, h := range lines {
		hs[i] = Header{Name: h.Name(), Value: h.Value()}
	}
	return hs
}

// newMessage returns the message of a request. It returns an error if a header field that an
// answer repeats is missing, repeated or not valid (RFC 3261 section 8.2.6.2).
func newMessage(f *flow, req *sipgo.Request, raw []byte) (*Message, error) {
	m := &Message{
		Method: string(req.Method), Headers: headersOf(req), Body: req.Body(),
		Raw: bytes.Clone(raw), Source: addrPort(f.conn.RemoteAddr()), Local: addrPort(f.conn.LocalAddr()),
		At: time.Now(), flow: f,
	}
	line, _, _ := strings.Cut(string(raw), "\r\n")
	if words := strings.Fields(line); len(words) == 3 {
		m.URI = words[1]
	}
	for _, name := range repeats {
		values := m.Headers.All(name)
		if len(values) == 0 || name != "Via" && len(values) > 1 {
			return nil, fmt.Errorf("%s has %d headers %s", m.Method, len(values), name)
		}
		for _, v := range values {
			if err := checkValue(v); err != nil || v == "" {
				return nil, fmt.Errorf("%s has a bad header %s", m.Method, name)
			}
		}
	}
	var err error
	if m.From, err = sip.ParseNameAddr(m.Headers.Get("From")); err != nil {
		return nil, fmt.Errorf("header From: %w", err)
	}
	if m.To, err = sip.ParseNameAddr(m.Headers.Get("To")); err != nil {
		return nil, fmt.Errorf("header To: %w", err)
	}
	m.CallID = m.Headers.Get("Call-ID")
	// A retransmission repeats all of these; another transaction differs in the
	// top Via's branch or sent-by (RFC 3261 section 17.2.3).
	m.key = strings.Join([]string{m.Headers.Get("Via"), m.CallID, m.Headers.Get("CSeq")}, "\n")
	return m, nil
}

// checkHeader returns an error for a header field that the phone writes itself, or that would
// not be one field on the wire.
func checkHeader(h Header) error {
	if !sip.IsToken(h.Name) {
		return fmt.Errorf("bad header name %q", h.Name)
	}
	switch longName(h.Name) {
	case "via", "cseq", "content-length":
		return fmt.Errorf("header %s is written by the phone itself", h.Name)
	}
	if err := checkValue(h.Value); err != nil {
		return fmt.Errorf("header %s: %w", h.Name, err)
	}
	return nil
}

// checkValue returns an error for a value with control characters: sipgo would write it as it
// is.
func checkValue(s string) error {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return errors.New("a line break or control character is not allowed in a header")
	}
	return nil
}

// longName returns a name for comparison: in lower case, compact forms expanded
// (RFC 3261 section 7.3.3).
func longName(name string) string {
	name = strings.ToLower(name)
	if len(name) == 1 {
		if long, ok := compact[name[0]]; ok {
			return long
		}
	}
	return name
}

// compact are the one-letter names of header fields.
var compact = map[byte]string{
	'a': "accept-contact", 'b': "referred-by", 'c': "content-type", 'e': "content-encoding",
	'f': "from", 'i': "call-id", 'k': "supported", 'l': "content-length", 'm': "contact",
	'o': "event", 'r': "refer-to", 's': "subject", 't': "to", 'u': "allow-events",
	'v': "via", 'x': "session-expires",
}
