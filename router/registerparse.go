package router

import (
	"slices"
	"strconv"
	"strings"

	"silod/registrar"
	"silod/sip"
	"silod/sip/transaction"
)

// parseRegister parses a REGISTER. If it cannot be carried out, it returns the refusal.
func (r *Router) parseRegister(tx *transaction.ServerTx, p parties, from caller) (*registrar.Register, *registrar.Error) {
	switch {
	case !tx.Request.To.URI.IsSIP():
		return nil, &registrar.Error{Status: 404, Reason: "Only SIP addresses can be registered here"}
	case !p.toOurs || !r.isOurs(tx.Request.Target):
		return nil, &registrar.Error{Status: 404, Reason: "Not a domain of this registrar"}
	case p.to.User == "":
		return nil, &registrar.Error{Status: 400, Reason: "To names no user"}
	case r.opt.Rooms.IsRoom(p.to): // messages to a room are never sent to a device
		return nil, &registrar.Error{Status: 403, Reason: "This address is a chat room"}
	}
	path := slices.DeleteFunc(tx.Request.Values("Path"), func(v string) bool { return v == "" })
	g := &registration{own: &r.opt.Own, flow: tx.Flow, via: &tx.Request.Via, vias: tx.Request.Vias(), trusted: from.trusted}
	g.nat = g.via.BehindNAT(g.flow.Remote)
	if refusal := g.readPath(path); refusal != nil {
		return nil, refusal
	}
	reg := &g.request
	*reg = registrar.Register{
		AoR:       p.to,
		Expires:   expires(tx.Request.Get("Expires")),
		CallID:    tx.Request.Get("Call-ID"),
		CSeq:      tx.Request.CSeq,
		Path:      path,
		Flow:      g.reach,
		ViaNAT:    g.behindNAT(),
		UserAgent: tx.Request.Get("User-Agent"),
		Methods:   strings.Join(tx.Request.Tokens("Allow"), ", "),
	}
	// Contacts are complete before the first one is carried out: all or nothing (RFC 3261
	// section 10.3, item 7).
	for _, v := range tx.Request.Values("Contact") {
		list, err := sip.ParseList(v)
		if err != nil {
			return nil, &registrar.Error{Status: 400, Reason: "Bad Contact header, " + err.Error()}
		}
		for _, c := range list {
			if !c.Star && !c.URI.IsSIP() {
				return nil, &registrar.Error{Status: 400, Reason: "Contact is not a SIP address"}
			}
		}
		reg.Contacts = append(reg.Contacts, list...)
	}
	return reg, nil
}

// expires returns the value of an Expires header: -1 if there is none, 3600 if it is
// malformed (RFC 3261 section 10.2.1.1).
func expires(v string) int {
	if v == "" {
		return -1
	}
	n, err := strconv.ParseUint(v, 10, 32)
	if err != nil {
		return 3600
	}
	return int(n)
}
