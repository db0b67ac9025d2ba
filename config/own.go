package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"silod/sip"
)

// OwnAddresses returns the addresses at which silod is reached with this configuration. Where
// a listener has port 0, the actual address is known only when it is open.
func (c *Config) OwnAddresses() sip.OwnAddresses {
	o := sip.OwnAddresses{Advertise: c.SIP.Advertise}
	for _, l := range c.SIP.Listen {
		t, _ := sip.ParseTransport(l.Transport)
		o.Listen = append(o.Listen, sip.Listener{Transport: t, Addr: l.Addr})
	}
	o.Domains = sip.NewDomains(c.SIP.Domains...)
	o.Machine, o.Hostname = MachineAddresses()
	return o
}

// MachineAddresses returns the addresses of the machine's interfaces, and its name.
func MachineAddresses() (addrs []netip.Addr, hostname string) {
	for _, p := range interfaces() {
		addrs = append(addrs, p.Addr())
	}
	hostname, _ = os.Hostname()
	return addrs, hostname
}

// interfaces returns the addresses of the machine's interfaces, with their networks.
func interfaces() (list []netip.Prefix) {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// OwnProxyNotes returns notes about next hops that are silod itself, which count as not set.
func (c *Config) OwnProxyNotes() []Problem {
	var notes []Problem
	own := c.OwnAddresses()
	for _, p := range []struct{ key, value, instead string }{
		{"sip.outbound_proxy", c.SIP.OutboundProxy, "DNS is used"},
		{"sip.user_proxy", c.SIP.UserProxy, "messages to users without a registration are stored"},
		{"silo.outbound_proxy", c.Silo.OutboundProxy, "messages go to the registered devices"},
		{"imc.outbound_proxy", c.IMC.OutboundProxy, "messages go to the registered devices"},
	} {
		if u, err := sip.ParseURI(p.value); err == nil && own.IsNextHop(u) {
			notes = append(notes, c.Problem(p.key, fmt.Sprintf("%q is an address of silod itself: it counts as not set, and %s",
				p.value, p.instead)))
		}
	}
	return notes
}
