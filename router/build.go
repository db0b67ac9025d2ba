package router

import (
	"strconv"

	"silod/im"
	"silod/registrar"
	"silod/sip"
)

// messageOf takes what goes end to end out of a MESSAGE. What belongs to the hop,
// and credentials meant for us, stay behind.
func messageOf(req *sip.Request, from caller) *im.Message {
	m := &im.Message{
		From:    req.Get("From"),
		To:      req.Get("To"),
		CallID:  req.Get("Call-ID"),
		CSeq:    req.CSeq,
		Headers: make([]sip.Header, 0, len(req.Headers)),
		Body:    req.Body,
	}
	for _, h := range req.Headers {
		switch h.Name {
		case "Via", "Route", "Record-Route", "Path", "Max-Forwards", "From", "To", "Call-ID", "CSeq",
			"Content-Length", "Authorization", "Proxy-Authorization", "Proxy-Require", "Max-Breadth", "Contact", "P-Preferred-Identity":
		case "P-Asserted-Identity":
			// A peer's assertion goes on, unless the sender wants it kept from users (RFC 3325).
			if from.identity && !wantsPrivacy(req) {
				m.Headers = append(m.Headers, h)
			}
		default:
			m.Headers = append(m.Headers, h)
		}
	}
	return m
}

// requestFor makes the MESSAGE that brings m to a binding, with its headers in room.
// Relayed, stored or from a room, it is made here and looks the same.
func requestFor(m *im.Message, b *registrar.Binding, hops int, room []sip.Header) sip.Message {
	out := requestTo(m, "MESSAGE", b, hops, room)
	out.Body = m.Body
	out.Headers = append(out.Headers, m.Headers...)
	return out
}

// requestTo makes all of a request to a binding but its end-to-end headers and body.
func requestTo(m *im.Message, method string, b *registrar.Binding, hops int, room []sip.Header) sip.Message {
	cseq := make([]byte, 0, 32)
	cseq = append(append(strconv.AppendUint(cseq, uint64(m.CSeq), 10), ' '), method...)
	out := sip.Message{Method: method, URI: b.Contact, Headers: room}
	out.Headers = append(out.Headers,
		sip.Header{Name: "Max-Forwards", Value: strconv.Itoa(hops)},
		sip.Header{Name: "From", Value: m.From},
		sip.Header{Name: "To", Value: m.To},
		sip.Header{Name: "Call-ID", Value: m.CallID},
		sip.Header{Name: "CSeq", Value: string(cseq)})
	for _, p := range b.Path {
		out.Headers = append(out.Headers, sip.Header{Name: "Route", Value: p})
	}
	return out
}
