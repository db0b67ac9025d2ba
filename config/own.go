package config

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

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
	o.Domains = c.LocalDomains()
	o.Machine, o.Hostname = MachineAddresses()
	return o
}

// LocalDomains returns the domains of silod with this configuration.
func (c *Config) LocalDomains() sip.Domains {
	d := sip.NewDomains()
	d.Configure(c.DomainNames())
	return d
}

// DomainNames returns the names of the domains of silod. The names of its own addresses are
// aliases of the main domain: phones that are given an address in place of a name have the same
// users.
func (c *Config) DomainNames() sip.DomainNames {
	own := c.ownNames()
	n := sip.DomainNames{
		Names: c.SIP.Domains, Aliases: slices.Concat(c.SIP.DomainAliases, own), CaseSensitive: c.Registrar.CaseSensitive,
	}
	if len(n.Names) == 0 && len(own) > 0 {
		n.Names, n.Aliases = own[:1], append(n.Aliases, "localhost")
	}
	return n
}

// ownNames returns the hosts by which silod is reached without a configured domain: that of
// sip.advertise, and those that are listened on. A listener on all addresses has the name and
// the addresses of the machine.
func (c *Config) ownNames() (names []string) {
	if _, err := netip.ParseAddr(c.SIP.Advertise); err == nil { // an IPv6 address may have no brackets
		names = append(names, c.SIP.Advertise)
	} else if host, _, err := sip.ParseHostPort(c.SIP.Advertise); err == nil {
		names = append(names, host)
	}
	for _, l := range c.SIP.Listen {
		if !l.Addr.Addr().IsUnspecified() {
			names = append(names, l.Addr.Addr().String())
			continue
		}
		addrs, host := MachineAddresses()
		if host != "" {
			names = append(names, host)
		}
		for _, a := range addrs {
			names = append(names, a.String())
		}
	}
	return names
}

// checkDomains reports aliases that are domains too.
func (c *Config) checkDomains(report reporter) {
	domains := sip.NewDomains(c.SIP.Domains...)
	for _, alias := range c.SIP.DomainAliases {
		if hasName(domains, alias) {
			report("sip.domain_aliases", "%q is in sip.domains too: it has users of its own, or is another name of %q", alias, domains.Default())
		}
	}
}

// domainNotes returns notes about configured domains that are names of silod's own addresses.
func (c *Config) domainNotes() (notes []Problem) {
	if len(c.SIP.Domains) < 2 {
		return nil
	}
	own := sip.NewDomains(c.ownNames()...)
	for _, name := range c.SIP.Domains[1:] {
		if hasName(own, name) {
			text := fmt.Sprintf("%q is an address of silod itself: its users are those of %q", name, c.SIP.Domains[0])
			if c.Auth.Mode == "digest" && c.Auth.Realm == "" { // their realm was this name
				text += ", and their passwords that are stored as hashes are to be set again (siloctl users passwd)"
			}
			notes = append(notes, c.Problem("sip.domains", text))
		}
	}
	return notes
}

// hasName reports whether a configured name is one of the domains. Other than in a URI, an IPv6
// address may have no brackets.
func hasName(d sip.Domains, name string) bool {
	_, ours := d.AoR(sip.URI{Scheme: "sip", Host: name})
	return ours
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
