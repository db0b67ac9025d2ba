package sip

import (
	"net/netip"
	"strings"
)

// Request is a request, with the parts that every handler needs parsed and checked.
// It is not written to.
type Request struct {
	*Message
	Via      Via // topmost
	From, To NameAddr
	Target   URI // the Request-URI
	// TargetErr says why Target could not be read; the answer is then 400, or 416
	// where it wraps sip.ErrScheme.
	TargetErr error
	CSeq      uint32 // its sequence number
}

// Read takes a request apart and checks the fields that RFC 3261 section 8.1.1 makes
// mandatory. The error is ErrNotSIP where no answer can be sent, for want of a Via, or a
// *ParseError; the request then holds as much as the answer needs.
func (r *Request) Read(m *Message) (Fields, error) {
	f := scanFields(m)
	r.Message = m
	var err error
	if r.Via, err = ParseVia(f.Via); err != nil {
		return f, ErrNotSIP
	}
	if err := f.check(m); err != nil {
		return f, err
	}
	if r.From, err = ParseNameAddr(f.From); err != nil || r.From.Star {
		return f, malformed("Bad From header")
	}
	if r.To, err = ParseNameAddr(f.To); err != nil || r.To.Star {
		return f, malformed("Bad To header")
	}
	seq, method, ok := parseCSeq(f.CSeq)
	if !ok {
		return f, malformed("Bad CSeq header")
	}
	if method != m.Method {
		return f, malformed("CSeq names another method")
	}
	r.CSeq = seq
	if f.CallID == "" {
		return f, malformed("Empty Call-ID header")
	}
	r.Target, r.TargetErr = ParseURI(m.URI)
	return f, nil
}

// Fields are the values of the header fields that identify a request, "" where one is
// missing; of several, the first.
type Fields struct {
	Via, From, To, CallID, CSeq, Authorization, ProxyAuthorization string

	vias, froms, tos, callIDs, cseqs, maxForwards int
}

// scanFields finds them in one pass.
func scanFields(m *Message) (f Fields) {
	note := func(first *string, n *int, value string) {
		if *n++; *n == 1 {
			*first = value
		}
	}
	var auths, proxyAuths int
	for i := range m.Headers {
		switch h := &m.Headers[i]; h.Name {
		case "Via":
			note(&f.Via, &f.vias, h.Value)
		case "From":
			note(&f.From, &f.froms, h.Value)
		case "To":
			note(&f.To, &f.tos, h.Value)
		case "Call-ID":
			note(&f.CallID, &f.callIDs, h.Value)
		case "CSeq":
			note(&f.CSeq, &f.cseqs, h.Value)
		case "Max-Forwards":
			f.maxForwards++
		case "Authorization":
			note(&f.Authorization, &auths, h.Value)
		case "Proxy-Authorization":
			note(&f.ProxyAuthorization, &proxyAuths, h.Value)
		}
	}
	return f
}

// check finds a field that is missing, or occurs twice.
func (f *Fields) check(m *Message) error {
	if f.vias > 1 {
		for _, v := range m.Values("Via")[1:] {
			if _, err := ParseVia(v); err != nil {
				return malformed("Bad Via header")
			}
		}
	}
	for _, one := range [...]struct {
		name string
		n    int
	}{{"From", f.froms}, {"To", f.tos}, {"Call-ID", f.callIDs}, {"CSeq", f.cseqs}} {
		switch {
		case one.n == 0:
			return malformed("Header " + one.name + " is missing")
		case one.n > 1:
			return malformed("Header " + one.name + " occurs twice")
		}
	}
	if f.maxForwards > 1 {
		return malformed("Header Max-Forwards occurs twice")
	}
	return nil
}

func (m *Message) count(name string) int {
	n := 0
	for i := range m.Headers {
		if m.Headers[i].Name == name {
			n++
		}
	}
	return n
}

// MaxForwards is the number of hops left (RFC 3261 section 20.22): 70 where the
// header is missing. ok is false where it is no number from 0 to 255.
func (r *Request) MaxForwards() (n int, ok bool) {
	v := r.Get("Max-Forwards")
	if v == "" {
		return 70, true
	}
	for i := range len(v) {
		if v[i] < '0' || v[i] > '9' || n > 255 {
			return 0, false
		}
		n = n*10 + int(v[i]-'0')
	}
	return n, n <= 255
}

// Direct reports whether the request came from source straight from the client: through
// no NAT and no proxy.
func (r *Request) Direct(source netip.AddrPort) bool {
	return r.Via.SentBySource(source) && r.count("Via") == 1
}

// OptionTags gives the option tags of a header such as Require or Supported in
// lower case.
func (r *Request) OptionTags(header string) []string {
	tags := r.Tokens(header)
	for i := range tags {
		tags[i] = strings.ToLower(tags[i])
	}
	return tags
}
