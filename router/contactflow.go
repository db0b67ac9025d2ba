package router

import (
	"net/netip"

	"silod/sip"
	"silod/sip/transaction"
)

// flowTo returns the flow over which a contact is reached. Over a stream that is the
// connection of the REGISTER. Over UDP it leads to the address of the contact if the
// REGISTER came directly from the client, else, behind a NAT or a proxy or without an
// address in the contact, to the source of the packet.
func flowTo(tx *transaction.ServerTx, contact sip.URI) sip.Flow {
	f := tx.Flow
	if f.Transport != sip.UDP || !tx.Request.Direct(tx.Flow.Remote) {
		return f
	}
	ip, ok := contact.Addr()
	if !ok || ip.IsUnspecified() || ip.IsMulticast() || ip.Is4() != f.Remote.Addr().Is4() {
		return f
	}
	port := contact.Port
	if port == 0 {
		port = 5060
	}
	f.Remote = netip.AddrPortFrom(ip, port)
	return f
}
