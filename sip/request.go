package sip

import "strings"

// A Request is a request with the values that all handlers need. It is not modified after
// Read.
type Request struct {
	*Message
	Via       Via // topmost
	From, To  NameAddr
	Target    URI    // the Request-URI
	TargetErr error  // of parsing Target: the answer is 400
	CSeq      uint32 // sequence number

	targetMended bool // Target is a correction of URI
}

// Read parses the header fields of a request and checks those that RFC 3261 section 8.1.1
// requires. The error is ErrNotSIP if there is no valid Via, without which the request
// cannot be answered, or a *ParseError. The request then contains the values that the answer
// needs. A bad Request-URI is not an error: see TargetErr.
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
	if r.From, err = parseParty(f.From); err != nil || r.From.Star {
		return f, malformedBecause("Bad From header", err)
	}
	if r.To, err = parseParty(f.To); err != nil || r.To.Star {
		return f, malformedBecause("Bad To header", err)
	}
	seq, method, ok := parseCSeq(f.CSeq)
	if !ok {
		return f, malformed("Bad CSeq header")
	}
	if canonicalMethod(method) != m.Method {
		return f, malformed("CSeq names another method")
	}
	r.CSeq = seq
	if f.CallID == "" {
		return f, malformed("Empty Call-ID header")
	}
	r.Target, r.targetMended, r.TargetErr = parseTarget(m.URI)
	return f, nil
}

// FromValue returns the value of From as it is sent on: as received, unless that is not
// well-formed.
func (r *Request) FromValue() string { return r.From.sentOn(r.Get("From")) }

// ToValue is FromValue for To.
func (r *Request) ToValue() string { return r.To.sentOn(r.Get("To")) }

// TargetValue returns the Request-URI as it is sent on.
func (r *Request) TargetValue() string {
	if r.targetMended {
		return r.Target.String()
	}
	return r.URI
}

// Fields are the values of the header fields that identify a request. The value of a missing
// field is "". Of several fields with one name it is that of the first.
type Fields struct {
	Via, From, To, CallID, CSeq, Authorization, ProxyAuthorization string

	// Numbers of fields.
	vias, froms, tos, callIDs, cseqs, maxForwards int
}

// scanFields returns the Fields of a request.
func scanFields(m *Message) (f Fields) {
	record := func(first *string, n *int, value string) {
		if *n++; *n == 1 {
			*first = value
		}
	}
	var auths, proxyAuths int
	for i := range m.Headers {
		switch h := &m.Headers[i]; h.Name {
		case "Via":
			record(&f.Via, &f.vias, h.Value)
		case "From":
			record(&f.From, &f.froms, h.Value)
		case "To":
			record(&f.To, &f.tos, h.Value)
		case "Call-ID":
			record(&f.CallID, &f.callIDs, h.Value)
		case "CSeq":
			record(&f.CSeq, &f.cseqs, h.Value)
		case "Max-Forwards":
			f.maxForwards++
		case "Authorization":
			record(&f.Authorization, &auths, h.Value)
		case "Proxy-Authorization":
			record(&f.ProxyAuthorization, &proxyAuths, h.Value)
		}
	}
	return f
}

// check returns an error if a required field is missing or a field occurs twice, and for a
// malformed Via.
func (f *Fields) check(m *Message) error {
	if f.vias > 1 {
		for _, v := range m.Values("Via")[1:] {
			if _, err := ParseVia(v); err != nil {
				return malformed("Bad Via header")
			}
		}
	}
	for _, field := range [...]struct {
		name string
		n    int
	}{{"From", f.froms}, {"To", f.tos}, {"Call-ID", f.callIDs}, {"CSeq", f.cseqs}} {
		switch {
		case field.n == 0:
			return malformed("Header " + field.name + " is missing")
		case field.n > 1:
			return malformed("Header " + field.name + " occurs twice")
		}
	}
	if f.maxForwards > 1 {
		return malformed("Header Max-Forwards occurs twice")
	}
	return nil
}

// MaxForwards returns the number of hops left (RFC 3261 section 20.22), which is 70 if the
// header field is missing. ok is false if it is not a number from 0 to 255.
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

// Vias returns the number of Via values: 1 if the request came directly from the client.
func (r *Request) Vias() int { return r.count("Via") }

// OptionTags returns the option tags in a header such as Require or Supported, in lower
// case.
func (r *Request) OptionTags(header string) []string {
	tags := r.Tokens(header)
	for i := range tags {
		tags[i] = strings.ToLower(tags[i])
	}
	return tags
}
