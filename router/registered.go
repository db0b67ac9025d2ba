package router

import (
	"slices"
	"time"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// registered returns the header fields of the 200: the bindings, the date, and the Path if the
// client supports it (RFC 3327 section 5.3).
func (r *Router) registered(tx *transaction.ServerTx, reg *registrar.Register, bindings []registrar.Binding) []sip.Header {
	now := r.opt.Now()
	rest := make([]sip.Header, 0, 8)
	tags := tx.Request.OptionTags("Supported")
	if slices.Contains(tags, "path") {
		for _, p := range reg.Path {
			rest = append(rest, sip.Header{Name: "Path", Value: p})
		}
	}
	if slices.Contains(tags, "outbound") && outboundUsed(tx, reg) {
		// RFC 5626 section 6: its flows are used, and the device must keep them open.
		rest = append(rest, sip.Header{Name: "Require", Value: "outbound"})
		if tx.Flow.Transport.Reliable() && tx.Request.Vias() == 1 {
			rest = append(rest, sip.Header{Name: "Flow-Timer", Value: flowTimer})
		}
	}
	rest = append(rest,
		sip.Header{Name: "Date", Value: now.UTC().Format(httpDate)},
		sip.Header{Name: "Server", Value: r.opt.Server})
	room := maxRegisteredSize - replySize(tx.Request.Message)
	for i := range rest {
		room -= rest[i].Size()
	}
	hs := make([]sip.Header, 0, min(len(bindings), 64)+len(rest))
	return append(appendContacts(hs, reg, bindings, now, room), rest...)
}

// maxRegisteredSize is the size in bytes of the largest 200 to a REGISTER: a datagram has at
// most 65,507.
const maxRegisteredSize = 64_000

// appendContacts appends the bindings of an AoR as Contact fields that take up to room bytes,
// first those of the REGISTER itself, with exactly the time that was granted. If there is no
// room for all, a client at least finds its own.
func appendContacts(hs []sip.Header, reg *registrar.Register, bindings []registrar.Binding, now time.Time, room int) []sip.Header {
	add := func(b *registrar.Binding, now time.Time) bool {
		h := sip.Header{Name: "Contact", Value: b.ContactValue(now)}
		if room -= h.Size(); room < 0 {
			return false
		}
		hs = append(hs, h)
		return true
	}
	for i := range bindings {
		if b := &bindings[i]; b.MadeBy(reg) && !add(b, b.Modified) {
			return hs
		}
	}
	for i := range bindings {
		if b := &bindings[i]; !b.MadeBy(reg) && !add(b, now) {
			break
		}
	}
	return hs
}

// replySize returns the size of the part of an answer that repeats the request, or more.
func replySize(req *sip.Message) int {
	n := 200 // status line, tag, parameters of Via, Content-Length
	for i := range req.Headers {
		switch h := &req.Headers[i]; h.Name {
		case "Via", "From", "To", "Call-ID", "CSeq", "Record-Route", "Timestamp":
			n += h.Size()
		}
	}
	return n
}

// httpDate is the layout of a SIP date (RFC 3261 section 20.17).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"
