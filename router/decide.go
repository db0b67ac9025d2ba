package router

import (
	"fmt"
	"slices"

	"silod/proxy"
	"silod/silo"
	"silod/sip"
)

// The functions of this file decide what becomes of a MESSAGE. They depend on nothing but
// their arguments and change nothing; message.go and relay.go gather the arguments and carry
// the decisions out. forDomain reports whether decideForDomain decides alone. If not, the
// message passes decideAdmission, then decide and, once it was relayed, decideAfterRelay.

// parties are the sender and the recipient that a request names.
type parties struct {
	from, to         sip.AoR // to is the AoR of a REGISTER, else the Request-URI
	fromOurs, toOurs bool    // in a domain of this server
	fromRoom, toRoom bool    // chat rooms; set for MESSAGE only
}

// facts are the properties of a MESSAGE, besides its parties and its silo.Class, on which
// decisions depend.
type facts struct {
	mayRelay        bool // the sender may send to other domains
	routesElsewhere bool // a Route field names another server
	maxForwards     int  // below 0: cannot be read
	size, maxSize   int  // bytes of the body, and the limit
	maxBreadth      int  // the branches into which it may be forked; -1: the field is malformed
	looped          bool // it has been sent to the same recipient before
	redirected      bool // to a room: it has been sent to a user, or is the text of a room
	discard         bool // see silo.Discards
	secure          bool // the Request-URI is a sips URI
}

// A decision says what becomes of a MESSAGE.
type decision struct {
	action action
	status int    // of reject
	reason string // of reject and drop; "": the standard phrase
	away   bool   // of store: the sender is notified that the recipient cannot be reached
}

type action int

const (
	admit        action = iota // continue with the next decision
	reject                     // answer with an error
	drop                       // answer 200 and forget the message
	sendToDomain               // send it to the servers of another domain, and forward their response
	sendToRoom                 // pass it to a chat room
	relay                      // send it to the devices of the recipient, then see decideAfterRelay
	waitForQueue               // wait for the messages that it must not overtake, and decide again
	store                      // store it and answer 202
	storeCopies                // store a copy for each device, and answer 202
	storeLate                  // store, and remove it again if a device that has not answered yet accepts it
	forward                    // forward the response of a device
	unavailable                // answer 503: the server is stopping
)

// notKept is for a message that cannot be delivered now and is never stored.
var notKept = decision{action: drop, reason: "OK, not delivered and not stored"}

func rejection(status int, reason string) decision {
	return decision{action: reject, status: status, reason: reason}
}

// forDomain reports whether a message is for another domain and its sender may send there.
func forDomain(p parties, f facts) bool { return !p.toOurs && f.mayRelay && !f.routesElsewhere }

// decideForDomain decides about a message for another domain. It is never stored.
func decideForDomain(f facts) decision {
	switch {
	case f.maxForwards < 0:
		return rejection(400, "Bad Max-Forwards header")
	case f.maxBreadth < 0:
		return rejection(400, "Bad Max-Breadth header")
	case f.size > f.maxSize:
		return rejection(413, "")
	case f.maxForwards == 0:
		return rejection(483, "")
	case f.looped:
		return rejection(482, "")
	case f.maxBreadth == 0:
		return rejection(440, "")
	}
	return decision{action: sendToDomain}
}

// decideAdmission rejects a message that is malformed or not for this server.
func decideAdmission(p parties, f facts) decision {
	switch {
	case f.maxForwards < 0:
		return rejection(400, "Bad Max-Forwards header")
	case f.maxBreadth < 0:
		return rejection(400, "Bad Max-Breadth header")
	case !p.toOurs || f.routesElsewhere:
		return rejection(403, "Forbidden, this server does not relay to other domains")
	case p.to.User == "":
		return rejection(404, "Not Found, the Request-URI names no user")
	case f.size > f.maxSize:
		return rejection(413, fmt.Sprintf("Message body is larger than %d bytes", f.maxSize))
	}
	return decision{action: admit}
}

// decide decides about an admitted message. busy reports that other messages wait for the
// recipient, or may; devices is the number of its devices, for a sips URI of those that are
// reached over TLS. Such a message is not stored: its sender was promised TLS on each hop
// (RFC 3261 section 26.2.2), and later nothing is known of that. c, busy and devices are not used
// for a message that is discarded or for a room.
func decide(p parties, f facts, c silo.Class, busy bool, devices int) decision {
	switch {
	case f.looped: // a 2xx would count as its delivery
		return rejection(482, "")
	case p.toRoom && (p.fromRoom || f.redirected):
		return rejection(482, sip.ReasonForRooms)
	case f.discard:
		return decision{action: drop}
	case p.toRoom:
		return decision{action: sendToRoom}
	case f.maxForwards == 0:
		return rejection(483, "")
	case c.Err != nil:
		return rejection(400, "Bad time of a reminder, "+c.Err.Error())
	case f.secure && devices == 0:
		return rejection(480, "Temporarily Unavailable, no device of the user is reached over TLS")
	case f.secure:
		return decision{action: relay}
	case !c.SendAt.IsZero() && !c.Keep:
		return notKept
	case !c.SendAt.IsZero():
		return decision{action: store}
	case c.Copies && !c.NowOnly:
		return decision{action: storeCopies}
	case busy && !c.NowOnly:
		return decision{action: waitForQueue}
	case devices > 0 && f.maxBreadth == 0:
		return rejection(440, "")
	case devices > 0:
		return decision{action: relay}
	case !c.Keep:
		return notKept
	}
	return decision{action: store, away: true}
}

// decideAfterRelay decides about a message that was sent to the devices of its recipient. A
// 6xx is the answer of the user, not of one device (RFC 3261 section 21.6), so the message is
// not stored. stopping reports that the server is stopping, storeOn whether a message is
// stored after a failure response with a status.
func decideAfterRelay(f facts, c silo.Class, out *proxy.Outcome, stopping bool, storeOn func(status int) bool) decision {
	switch {
	case out.Accepted() || out.Response != nil && out.Response.Status >= 600:
		return decision{action: forward}
	case out.Open > 0 && stopping:
		return decision{action: unavailable}
	case out.Open == 0 && out.Unreached == 0 && !slices.ContainsFunc(out.Failures, storeOn):
		return decision{action: forward}
	case f.secure && out.Open == 0 && out.Response != nil:
		return decision{action: forward}
	case f.secure:
		return rejection(480, "Temporarily Unavailable, and a message to a sips URI is not stored")
	case !c.Keep:
		return notKept
	case out.Open > 0:
		return decision{action: storeLate, away: true}
	}
	return decision{action: store, away: true}
}
