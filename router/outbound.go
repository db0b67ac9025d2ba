package router

import (
	"slices"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// flowTimer is the time in seconds within which a device should send a keep-alive over its
// connection. Over UDP none is announced: devices then send one every 24 to 29 seconds (RFC
// 5626 section 4.4.2), and the mapping of a NAT may not last longer.
const flowTimer = "120"

// outboundUsed reports whether a REGISTER has created a flow of RFC 5626 (section 6): it has a
// contact with instance and reg-id, and its first hop supports flows: silod itself if it came
// directly from the device, else the proxy that has added a Path with ob.
func outboundUsed(tx *transaction.ServerTx, reg *registrar.Register) bool {
	if tx.Request.Vias() > 1 && !slices.ContainsFunc(reg.Path, hasOb) {
		return false
	}
	return slices.ContainsFunc(reg.Contacts, func(c sip.NameAddr) bool {
		_, instance := c.Params.Get("+sip.instance")
		_, id := c.Params.Get("reg-id")
		return instance && id
	})
}

// hasOb reports whether the URI in a Path value has the parameter ob.
func hasOb(path string) bool {
	a, err := sip.ParseNameAddr(path)
	if err != nil {
		return false
	}
	_, ob := a.URI.Params.Get("ob")
	return ob
}
