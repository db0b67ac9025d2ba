package router

import (
	"slices"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// registered returns the header fields of the 200: all bindings, the date, and the Path
// if the client supports it (RFC 3327 section 5.3).
func (r *Router) registered(tx *transaction.ServerTx, reg *registrar.Register, bindings []registrar.Binding) []sip.Header {
	now := r.opt.Now()
	hs := make([]sip.Header, 0, len(bindings)+4)
	for i := range bindings {
		hs = append(hs, sip.Header{Name: "Contact", Value: bindings[i].ContactValue(now)})
	}
	tags := tx.Request.OptionTags("Supported")
	if slices.Contains(tags, "path") {
		for _, p := range reg.Path {
			hs = append(hs, sip.Header{Name: "Path", Value: p})
		}
	}
	if slices.Contains(tags, "outbound") && outboundUsed(tx, reg) {
		// RFC 5626 section 6: its flows are used, and the device must keep them open.
		hs = append(hs, sip.Header{Name: "Require", Value: "outbound"})
		if tx.Flow.Transport.Reliable() && tx.Request.Vias() == 1 {
			hs = append(hs, sip.Header{Name: "Flow-Timer", Value: flowTimer})
		}
	}
	return append(hs,
		sip.Header{Name: "Date", Value: now.UTC().Format(httpDate)},
		sip.Header{Name: "Server", Value: r.opt.Server})
}

// httpDate is the layout of a SIP date (RFC 3261 section 20.17).
const httpDate = "Mon, 02 Jan 2006 15:04:05 GMT"
