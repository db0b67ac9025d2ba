package main

import (
	"fmt"
	"slices"
	"strings"

	"silod/config"
)

// serverNames collects the addresses and domains of a Kamailio configuration.
type serverNames struct {
	port        string // of addresses without one
	tlsPort     string // of those for tls
	listen      []setting
	advertise   []setting
	advertised  [2]setting // advertised_address and advertised_port
	alias       []setting
	autoAliases setting
	useDomain   string
}

// take takes a setting, and reports whether it is about names.
func (n *serverNames) take(s setting) bool {
	switch s.module + " " + s.name {
	case " port":
		n.port = s.value
	case " tls_port_no":
		n.tlsPort = s.value
	case " listen", " socket": // the latter in OpenSIPS
		n.listen = append(n.listen, s)
	case " advertise", " as":
		n.advertise = append(n.advertise, s)
	case " advertised_address":
		n.advertised[0] = s
	case " advertised_port":
		n.advertised[1] = s
	case " alias":
		n.alias = append(n.alias, s)
	case " auto_aliases":
		n.autoAliases = s
	case "usrloc use_domain", "registrar use_domain":
		n.useDomain = s.value
	default:
		return false
	}
	return true
}

// put adds the names to the configuration, and returns notes.
func (n *serverNames) put(d draft) (notes []leftOut) {
	notes = append(notes, n.putListen(d)...)
	notes = append(notes, n.putAdvertise(d)...)
	notes = append(notes, n.putDomains(d)...)
	if isOn(n.autoAliases.value) {
		notes = append(notes, leftOut{n.autoAliases.line, "auto_aliases", "silod does not ask DNS for its names: list them in sip.domain_aliases"})
	}
	return notes
}

// putListen adds the addresses to listen on. Kamailio also accepts names of hosts and interfaces,
// has the certificates elsewhere, and listens on all addresses without listen=.
func (n *serverNames) putListen(d draft) (notes []leftOut) {
	var listen []string
	for _, s := range n.listen {
		addresses, why := listenAt(s.value, n.port, n.tlsPort), ""
		if l, err := config.ParseListen(addresses[0]); err != nil {
			why = "it is not an IP address with a port: add its addresses to sip.listen"
		} else if l.Secure() {
			why = fmt.Sprintf("it needs certificates: set sip.tls_certificate and sip.tls_private_key, and add %q to sip.listen", addresses[0])
		}
		if why != "" {
			notes = append(notes, leftOut{s.line, s.name + " " + s.value, why})
			continue
		}
		listen = append(listen, addresses...)
	}
	if len(listen) > 0 {
		d.add("sip", "listen", tomlValue(listen), n.listen[len(n.listen)-1].line)
		return notes
	}
	why := "it is not set, and silod listens on 127.0.0.1 only"
	if len(n.listen) == 0 {
		why += ": Kamailio without listen listens on all addresses, " + tomlValue(listenAt("0.0.0.0", n.port, n.tlsPort))
	}
	return append(notes, leftOut{0, "sip.listen", why})
}

// putAdvertise adds the address by which others know the server.
func (n *serverNames) putAdvertise(d draft) (notes []leftOut) {
	if a, port := n.advertised[0], n.advertised[1]; a.value != "" {
		if port.value != "" {
			a.value += ":" + port.value
		}
		n.advertise = append(n.advertise, a)
	}
	for i, s := range n.advertise {
		if i == 0 {
			d.add("sip", "advertise", tomlValue(s.value), s.line)
		} else if s.value != n.advertise[0].value {
			notes = append(notes, leftOut{s.line, "advertise " + s.value, "silod has one sip.advertise"})
		}
	}
	return notes
}

// putDomains adds the domains. In Kamailio an alias is a name of the server, and unless usrloc
// has use_domain set, its users are those of the other names.
func (n *serverNames) putDomains(d draft) (notes []leftOut) {
	var aliases []setting
	for _, s := range n.alias {
		s.value = strings.ToLower(strings.TrimSuffix(host(s.value), "."))
		if !slices.ContainsFunc(aliases, func(a setting) bool { return a.value == s.value }) {
			aliases = append(aliases, s)
		}
	}
	// A name goes before an address that is listened on, which is a name of the first domain.
	if named := slices.DeleteFunc(slices.Clone(aliases), func(s setting) bool { return n.listensOn(s.value) }); len(named) > 0 {
		aliases = named
	}
	if len(aliases) == 0 {
		return nil
	}
	first, rest := aliases[0], aliases[1:]
	domains, others := []string{first.value}, []string(nil)
	line, otherLine := first.line, 0
	for _, s := range rest {
		if isOn(n.useDomain) {
			domains, line = append(domains, s.value), s.line
			continue
		}
		others, otherLine = append(others, s.value), s.line
		notes = append(notes, leftOut{
			s.line, "alias " + s.value,
			fmt.Sprintf("with use_domain = 0 its users are those of %s; for users of its own move it from sip.domain_aliases to sip.domains", first.value),
		})
	}
	d.add("sip", "domains", tomlValue(domains), line)
	if len(others) > 0 {
		d.add("sip", "domain_aliases", tomlValue(others), otherLine)
	}
	return notes
}

// listensOn reports whether a host is one of the addresses that are listened on.
func (n *serverNames) listensOn(h string) bool {
	return slices.ContainsFunc(n.listen, func(s setting) bool { return strings.EqualFold(host(s.value), h) })
}

// isOn reports whether a value of Kamailio is a yes.
func isOn(s string) bool {
	return slices.Contains([]string{"yes", "on", "true", "1"}, strings.ToLower(s))
}

// transports are the transports in Kamailio's addresses.
var transports = []string{"udp", "tcp", "tls", "ws", "wss"}

// cutTransport divides an address of Kamailio, such as "udp:10.0.0.1:5060", into its transport,
// "" if it has none, and the rest.
func cutTransport(value string) (transport, rest string) {
	if proto, rest, ok := strings.Cut(value, ":"); ok && slices.Contains(transports, strings.ToLower(proto)) {
		return strings.ToLower(proto), rest
	}
	return "", value
}

// portAt returns the place of the colon before the port of an address, -1 if it has none.
func portAt(address string) int {
	if i := strings.LastIndexByte(address, ':'); i > strings.LastIndexByte(address, ']') {
		return i
	}
	return -1
}

// listenAt returns the listen addresses for a value of listen=: "udp:10.0.0.1:5060", "10.0.0.1".
// The ports are those of addresses without one.
func listenAt(value, port, tlsPort string) []string {
	transport, address := cutTransport(value)
	networks := []string{transport}
	switch transport {
	case "":
		networks = []string{"udp", "tcp"}
	case "tls":
		port = tlsPort
	}
	if portAt(address) < 0 {
		address += ":" + port
	}
	list := make([]string, len(networks))
	for i, n := range networks {
		list[i] = n + ":" + address
	}
	return list
}

// host returns the host of an alias, which may have a transport and a port.
func host(value string) string {
	_, address := cutTransport(value)
	if i := portAt(address); i >= 0 {
		return address[:i]
	}
	return address
}
