package proxy

import (
	"strconv"

	"silod/im"
	"silod/sip"
	"silod/sip/transaction"
)

// initialMaxForwards is the Max-Forwards of requests that begin here (RFC 3261 section
// 8.1.1.6).
const initialMaxForwards = 70

// A hop has the values of the header fields that count and mark the hops of a request.
type hop struct {
	maxForwards int
	breadth     int    // Max-Breadth; 0: without that field
	marks       string // Loop-Mark, see package transaction; "": without that field
}

// messageTo returns the MESSAGE that carries m over a route, with its header fields in
// space. Relayed messages, stored ones and those from rooms are all made here.
func messageTo(m *im.Message, r *Route, h hop, space []sip.Header) sip.Message {
	out := requestTo(m, "MESSAGE", r, h, space)
	out.Body = m.Body
	out.Headers = append(out.Headers, m.Headers...)
	return out
}

// requestTo returns a request over a route with the fields that every request has, in space,
// and without a body. The Via is added when the request is sent.
func requestTo(m *im.Message, method string, r *Route, h hop, space []sip.Header) sip.Message {
	cseq := make([]byte, 0, 32)
	cseq = append(append(strconv.AppendUint(cseq, uint64(m.CSeq), 10), ' '), method...)
	out := sip.Message{Method: method, URI: sip.RequestURI(r.URI), Headers: space}
	out.Headers = append(out.Headers, sip.Header{Name: "Max-Forwards", Value: strconv.Itoa(h.maxForwards)})
	if h.breadth > 0 {
		out.Headers = append(out.Headers, sip.Header{Name: "Max-Breadth", Value: strconv.Itoa(h.breadth)})
	}
	if h.marks != "" {
		out.Headers = append(out.Headers, sip.Header{Name: transaction.LoopMarkField, Value: h.marks})
	}
	out.Headers = append(out.Headers,
		sip.Header{Name: "From", Value: m.From},
		sip.Header{Name: "To", Value: m.To},
		sip.Header{Name: "Call-ID", Value: m.CallID},
		sip.Header{Name: "CSeq", Value: string(cseq)})
	for _, p := range r.Path {
		out.Headers = append(out.Headers, sip.Header{Name: "Route", Value: p})
	}
	return out
}
