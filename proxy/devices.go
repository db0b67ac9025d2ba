package proxy

import (
	"slices"

	"silod/registrar"
	"silod/sip"
)

// A Route is one way to a device.
type Route struct {
	URI     string             // Request-URI
	Path    []string           // Route fields, topmost first (RFC 3327)
	Flow    sip.Flow           // that the device registered over; zero: none
	Next    *sip.URI           // without a flow, the next hop to resolve by RFC 3263; nil: URI
	Binding *registrar.Binding // not to be changed; nil for an address elsewhere
}

// A Device is a receiver of requests with the routes to it. They are tried in order,
// never two at once (RFC 5626 section 5.3).
type Device struct {
	Name   string // see deviceName; "" for an address elsewhere
	Routes []Route
}

// Devices returns the devices of a user that allow MESSAGE. Of a user without a registration
// these are known to the proxy of the settings, if there is one.
func (p *Proxy) Devices(a sip.AoR) []Device {
	bs := p.bindingsOf(a)
	if len(bs) == 0 {
		if next := p.settings.Load().UserProxy; next != nil && !p.isRoom(a) {
			return []Device{p.Elsewhere(a.String(), next)}
		}
	}
	return devices(bs)
}

// Elsewhere returns a URI that is not registered here as a device. Requests to it go to
// next if that is not nil, else to the outbound proxy of the settings, else to the servers
// of the URI. The next hop is resolved when something is sent: see Outcome.Unresolved.
func (p *Proxy) Elsewhere(uri string, next *sip.URI) Device {
	if next == nil {
		next = p.settings.Load().OutboundProxy
	}
	return Device{Routes: []Route{{URI: uri, Next: next}}}
}

// OverTLS returns the devices with the routes that lead to them over TLS, as a message for a
// sips URI requires (RFC 3261 section 26.2.2).
func OverTLS(ds []Device) []Device {
	var found []Device
	for _, d := range ds {
		var routes []Route
		for _, r := range d.Routes {
			if r.isOverTLS() {
				routes = append(routes, r)
			}
		}
		if len(routes) > 0 {
			found = append(found, Device{Name: d.Name, Routes: routes})
		}
	}
	return found
}

// devices groups the bindings that allow MESSAGE by device, in the order of the first
// binding of each. The routes of a device are sorted by the time of their registration,
// newest first, because the older ones are more likely to have failed.
func devices(bindings []registrar.Binding) []Device {
	if len(bindings) == 0 {
		return nil
	}
	ds, routes := make([]Device, 0, len(bindings)), make([]Route, 0, len(bindings))
	var few [4]*registrar.Binding
	for i := range bindings {
		flows := appendFlows(few[:0], bindings, i)
		if len(flows) == 0 {
			continue
		}
		n := len(routes)
		for _, b := range flows {
			routes = append(routes, routeTo(b))
		}
		ds = append(ds, Device{Name: deviceName(flows[0]), Routes: routes[n:len(routes):len(routes)]})
	}
	return ds
}

// appendFlows appends binding i and the other bindings of its device that allow MESSAGE,
// newest first. It appends nothing if binding i does not allow MESSAGE, or if a binding
// before it is of the same device.
func appendFlows(flows []*registrar.Binding, bindings []registrar.Binding, i int) []*registrar.Binding {
	b := &bindings[i]
	if !b.Allows("MESSAGE") {
		return flows
	}
	flows = append(flows, b)
	if b.Instance == "" || b.RegID == 0 {
		return flows
	}
	for j := range bindings {
		other := &bindings[j]
		if j == i || other.Instance != b.Instance || other.RegID == 0 || !other.Allows("MESSAGE") {
			continue
		}
		if j < i {
			return nil
		}
		flows = append(flows, other)
	}
	slices.SortStableFunc(flows, func(a, b *registrar.Binding) int { return b.Modified.Compare(a.Modified) })
	return flows
}

// routeTo returns the route to a binding.
func routeTo(b *registrar.Binding) Route {
	r := Route{URI: b.Contact, Path: b.Path, Flow: b.Flow, Binding: b}
	if len(r.Path) > 0 {
		r.followPath()
	}
	return r
}

// ruid returns the RUID of the binding, "" for an address elsewhere.
func (r *Route) ruid() string {
	if r.Binding == nil {
		return ""
	}
	return r.Binding.RUID
}

// followPath makes the first proxy of the Path the next hop (RFC 3327 section 5.3, RFC 3261
// section 16.6). A proxy without the parameter lr is a strict router: it expects its URI as
// the Request-URI, and that of the contact as the last Route.
func (r *Route) followPath() {
	first, err := sip.ParseNameAddr(r.Path[0])
	if err != nil {
		return
	}
	if _, loose := first.URI.Params.Get("lr"); !loose {
		r.Path = append(slices.Clone(r.Path[1:]), "<"+r.URI+">")
		r.URI = first.URI.String()
	}
	if to, _ := first.URI.AddrPort(); r.Flow.Transport != sip.UDP || r.Flow.Remote != to {
		r.Next = &first.URI
	}
}

// deviceName returns the name of the device of a binding: its instance (RFC 5626), or its
// contact if it has none.
func deviceName(b *registrar.Binding) string {
	if b.Instance != "" {
		return b.Instance
	}
	return b.Contact
}
