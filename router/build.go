package router

import (
	"strconv"

	"silod/im"
	"silod/registrar"
	"silod/sip"
	"silod/stack"
)

// messageOf takes what goes end to end out of a MESSAGE. What belongs to the hop,
// and credentials meant for us, stay behind.
func messageOf(tx *stack.ServerTx) *im.Message {
	m := &im.Message{
		From:    tx.Request.Get("From"),
		To:      tx.Request.Get("To"),
		CallID:  tx.Request.Get("Call-ID"),
		CSeq:    tx.Request.CSeq,
		Headers: make([]sip.Header, 0, len(tx.Request.Headers)),
		Body:    tx.Request.Body,
	}
	for _, h := range tx.Request.Headers {
		switch h.Name {
		case "Via", "Route", "Record-Route", "Path", "Max-Forwards", "From", "To", "Call-ID", "CSeq",
			"Content-Length", "Authorization", "Proxy-Authorization", "Proxy-Require", "Max-Breadth", "Contact":
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
