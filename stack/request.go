package stack

import (
	"net/netip"
	"strings"
	"sync/atomic"

	"silod/sip"
)

// Request is a request that came in, with what every handler needs of it already
// parsed and checked.
type Request struct {
	*Message
	Flow     Flow // where it came from; its answer and later requests go there
	Via      Via  // topmost
	To, From sip.NameAddr
	Target   sip.URI // the Request-URI
	Seq      uint32  // of CSeq
	// TargetErr says why Target could not be read; the answer is then 400, or 416
	// where it wraps sip.ErrScheme.
	TargetErr error

	stack     *Stack
	id        txID
	size      int    // bytes received
	tracked   bool   // there is a server transaction
	alone     bool   // entered as the one request of its kind that is worked on
	stateless bool   // see Stateless
	batch     *batch // that it came with; nil where nobody waits for the handler
	answered  atomic.Pointer[answer]
}

// newRequest checks what RFC 3261 section 8.1.1 makes mandatory. With an error
// the request holds what is needed for an answer, if Via and the rest allow one.
func newRequest(m *Message, flow Flow) (*Request, error) {
	r := &Request{Message: m, Flow: flow}
	f := survey(m)
	var err error
	if r.Via, err = parseVia(f.via); err != nil {
		return nil, errNotSIP // no Via, no way back
	}
	r.identify(&f)
	if err := f.check(m); err != nil {
		return r, err
	}
	if r.From, err = sip.ParseNameAddr(f.from); err != nil || r.From.Star {
		return r, malformed("Bad From header")
	}
	if r.To, err = sip.ParseNameAddr(f.to); err != nil || r.To.Star {
		return r, malformed("Bad To header")
	}
	seq, method, ok := parseCSeq(f.cseq)
	if !ok {
		return r, malformed("Bad CSeq header")
	}
	if method != m.Method {
		return r, malformed("CSeq names another method")
	}
	r.Seq = seq
	if f.callID == "" {
		return r, malformed("Empty Call-ID header")
	}
	r.Target, r.TargetErr = sip.ParseURI(m.URI)
	return r, nil
}

// fields are the header fields that say which request this is: the value of the first
// of each, and how many there are.
type fields struct {
	via, from, to, callID, cseq, auth, proxyAuth string

	vias, froms, tos, callIDs, cseqs, maxForwards int
}

// survey finds them in one go.
func survey(m *Message) (f fields) {
	note := func(first *string, n *int, value string) {
		if *n++; *n == 1 {
			*first = value
		}
	}
	var auths, proxyAuths int
	for i := range m.Headers {
		switch h := &m.Headers[i]; h.Name {
		case "Via":
			note(&f.via, &f.vias, h.Value)
		case "From":
			note(&f.from, &f.froms, h.Value)
		case "To":
			note(&f.to, &f.tos, h.Value)
		case "Call-ID":
			note(&f.callID, &f.callIDs, h.Value)
		case "CSeq":
			note(&f.cseq, &f.cseqs, h.Value)
		case "Max-Forwards":
			f.maxForwards++
		case "Authorization":
			note(&f.auth, &auths, h.Value)
		case "Proxy-Authorization":
			note(&f.proxyAuth, &proxyAuths, h.Value)
		}
	}
	return f
}

// check finds what is missing, or there twice.
func (f *fields) check(m *Message) error {
	if f.vias > 1 {
		for _, v := range m.Values("Via")[1:] {
			if _, err := parseVia(v); err != nil {
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

// Direct tells whether the request came straight from the client: no NAT and no
// proxy was in between.
func (r *Request) Direct() bool {
	return r.Via.sentBySource(r.Flow.Remote) && r.count("Via") == 1
}

// Respond sends the final answer. An empty reason stands for the standard phrase.
// Only the first call counts. Once it returns, the answer is on its way (see Flush), and
// retransmissions of the request will get the same one.
func (r *Request) Respond(status int, reason string, headers ...sip.Header) {
	if reason == "" {
		reason = ReasonPhrase(status)
	}
	r.finish(&answer{status: status, reason: reason, headers: headers})
}

// Forward sends a response that came from downstream as the answer, as a stateful
// proxy does (RFC 3261 section 16.7): without the Via that was ours. Two are not
// passed on: a 408 must never be sent to such a request (RFC 4320 section 4.2), and a
// 503 would say that we are overloaded, and not that device (section 16.7, step 6).
func (r *Request) Forward(res *Message) {
	a := &answer{status: res.Status, reason: res.Reason, to: res.Get("To"), body: res.Body}
	switch res.Status {
	case 408:
		a.status, a.reason = 480, ReasonPhrase(480)
	case 503:
		a.status, a.reason = 500, ReasonPhrase(500)
	}
	for _, h := range res.Headers {
		switch h.Name {
		case "Via", "From", "To", "Call-ID", "CSeq", "Content-Length":
		default:
			a.headers = append(a.headers, h)
		}
	}
	r.finish(a)
}

// Answer is the status and reason of the answer, 0 where there is none yet.
func (r *Request) Answer() (status int, reason string) {
	if a := r.answered.Load(); a != nil {
		return a.status, a.reason
	}
	return 0, ""
}

func (r *Request) finish(a *answer) {
	if !r.answered.CompareAndSwap(nil, a) {
		return
	}
	goes := true
	if r.stateless {
		r.forget()
		a, goes = a.trimmed(r)
	}
	if r.tracked || r.alone {
		r.stack.server.finish(r, a)
	}
	if goes {
		r.stack.reply(r, a)
	} else {
		r.stack.Stats.HeldBack.Inc()
	}
}

// replyTo is where the answer goes.
func (r *Request) replyTo() netip.AddrPort {
	if r.Flow.Transport.Reliable() {
		return r.Flow.Remote
	}
	return r.Via.replyAddr(r.Flow.Remote)
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
