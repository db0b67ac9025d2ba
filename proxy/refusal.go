package proxy

import (
	"slices"
	"strconv"

	"silod/delivery"
	"silod/sip"
)

// A Refusal is a failure response of a device that will never accept the message.
type Refusal struct {
	Device string // its name; "" for an address elsewhere
	Status int
	Reason string
}

// text returns the status and the reason phrase.
func (r Refusal) text() string { return strconv.Itoa(r.Status) + " " + r.Reason }

// A meaning is the consequence of a failure response for a stored message.
type meaning int

const (
	temporary   meaning = iota // a later attempt may be successful
	notMessage                 // the device does not accept this message
	notByDevice                // the device does not accept messages, or none from this sender
)

// meanings are the failure responses that are about the message or the device. All others
// below 600 are about the moment or the way to the device: RFC 3261 calls 408, 430, 480, 486
// and 5xx temporary; 404, 410, 482, 483 and 484 are about an address that may be registered
// anew; after 3xx, 481, 487 and 491 nothing is known. A 6xx is about the user (RFC 3261
// section 21.6). But where a message was stored, and the sender has been answered 202, the
// user can accept it on another device.
var meanings = map[int]meaning{
	400: notMessage, // malformed, for this device
	406: notMessage, // not acceptable
	411: notMessage, // length required
	412: notMessage, // conditional request failed (RFC 3903)
	413: notMessage, // too large
	414: notMessage, // the Request-URI is too long
	415: notMessage, // unsupported media type
	416: notMessage, // unsupported URI scheme
	417: notMessage, // unknown resource priority (RFC 4412)
	420: notMessage, // bad extension
	421: notMessage, // extension required
	424: notMessage, // bad location information (RFC 6442)
	428: notMessage, // use Identity header (RFC 8224), and 436 to 438
	433: notMessage, // anonymity disallowed (RFC 5079)
	436: notMessage,
	437: notMessage,
	438: notMessage,
	470: notMessage, // consent needed (RFC 5360)
	485: notMessage, // ambiguous
	488: notMessage, // not acceptable here
	489: notMessage, // bad event
	493: notMessage, // undecipherable
	494: notMessage, // security agreement required (RFC 3329)
	505: notMessage, // version not supported
	513: notMessage, // message too large

	401: notByDevice, // it asks for credentials, which a stored message has not
	403: notByDevice, // RFC 3261 section 21.4.4: the request should not be repeated
	405: notByDevice, // method not allowed: MESSAGE is not implemented
	407: notByDevice,
	501: notByDevice, // not implemented
}

// refusesMessage reports whether a status says that this message is never accepted.
func refusesMessage(status int) bool { return status >= 600 || meanings[status] == notMessage }

// refuses reports whether a device that answers with a status will never accept the message.
// An address elsewhere, which has no name, is usually a proxy. It may answer for devices
// that will be others next time, or does not know this server yet.
func refuses(device string, status int) bool {
	return refusesMessage(status) || device != "" && meanings[status] == notByDevice
}

// Refusals returns the devices that have refused the message, with their reasons.
func (o *Outcome) Refusals() []delivery.Refusal {
	var list []delivery.Refusal
	for _, r := range o.Refused {
		list = append(list, delivery.Refusal{Device: r.Device, Reason: r.text()})
	}
	return list
}

// Reason returns the status and the reason phrase of the response.
func (o *Outcome) Reason() string { return strconv.Itoa(o.Response.Status) + " " + o.Response.Reason }

// Registered returns the devices of a user that allow MESSAGE. If only an outbound proxy or
// another server knows devices, there is one without a name.
func (s *Sender) Registered(a sip.AoR) []delivery.Device {
	var list []delivery.Device
	for _, b := range s.proxy.bindings(a) {
		if !b.Allows("MESSAGE") {
			continue
		}
		name := deviceName(&b)
		i := slices.IndexFunc(list, func(d delivery.Device) bool { return d.Name == name })
		switch {
		case i < 0:
			list = append(list, delivery.Device{Name: name, Registered: b.Modified})
		case list[i].Registered.Before(b.Modified):
			list[i].Registered = b.Modified
		}
	}
	if list == nil && (s.settings.Load().OutboundProxy != nil || !s.proxy.domains.Has(a.Domain)) {
		return []delivery.Device{{}}
	}
	return list
}

// named returns the devices with these names, all if there are none.
func named(ds []Device, names []string) []Device {
	if names == nil {
		return ds
	}
	return slices.DeleteFunc(ds, func(d Device) bool { return d.Name != "" && !slices.Contains(names, d.Name) })
}

// choose returns the devices to which an item is to be sent, and those that are left out but
// may accept it later. An address elsewhere stands for any devices.
func choose(ds []Device, it *delivery.Item) (chosen, leftOut []Device) {
	for _, d := range ds {
		switch {
		case d.Name != "" && slices.Contains(it.Refused, d.Name):
		case slices.Contains(it.Except(), d.Name):
			leftOut = append(leftOut, d)
		default:
			chosen = append(chosen, d)
		}
	}
	if len(chosen) == 0 {
		return leftOut, nil
	}
	return chosen, leftOut
}
